"""From an operator's rule being sent to every replica going by it, and back: the whole system on one machine.

    python -m tests.bench.rule_delay [--rounds N] [--replicas N] [--json]

Each round puts a rule that buries a room, and deletes it again. Meanwhile answers are asked for as fast as they come,
each on a connection of its own, so that all replicas are asked. In force everywhere: the first of STREAK answers in a
row that name the rule. The least that any rule could need is beside it: a record written to Kafka, and read.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable

from deploy.config.settings import Settings
from deploy.local.system import System
from streaming.broker import KafkaLog
from streaming.events import RoomStarted
from streaming.log.codec import encode
from streaming.log.topics import ROOMS, RULES
from tests.bench.stack import say, stack
from tidecast_client import Client, NotFound

STREAK = 6  # answers in a row, each by the replica with the fewest requests: all of two replicas are among them
ROOM, RULE = "room-1", "probe"
PATIENCE_S = 60.0


def streak_ms(system: System, is_so: Callable[[Client], bool], began_s: float) -> float:
    """Milliseconds until answers are so for good. Raises RuntimeError: not in PATIENCE_S."""
    first_s, found = 0.0, 0
    while found < STREAK:
        if time.monotonic() - began_s > PATIENCE_S:
            raise RuntimeError(f"not in {PATIENCE_S:g} s")
        with Client(system.url) as client:
            so = is_so(client)
        if so and not found:
            first_s = time.monotonic()
        found = found + 1 if so else 0
    return 1000 * (first_s - began_s)


def is_buried(client: Client) -> bool:
    return any(item.rule == RULE for item in client.recommend("viewer-1", limit=5, shown=False).rooms)


def rule_ms(system: System) -> tuple[float, float]:
    """Milliseconds until a rule is in force in every replica, and until it is gone from all."""
    with Client(system.url) as client:
        began_s = time.monotonic()
        client.put_rule(RULE, action="bury", rooms=[ROOM], weight=0.1)
        put_ms = streak_ms(system, is_buried, began_s)
        began_s = time.monotonic()
        client.delete_rule(RULE)
        return put_ms, streak_ms(system, lambda one: not is_buried(one), began_s)


def bare_ms(log: KafkaLog, rounds: int) -> list[float]:
    """Milliseconds from a record's write to a reader of the topic having it."""
    took: list[float] = []
    source, sink = log.reader(log.partitions(RULES), "end"), log.sink()
    for number in range(rounds):
        key = f"bare-{number}".encode()
        began_s = time.monotonic()
        sink.send(RULES, key, None)
        sink.flush()
        while not any(record.key == key for records in source.poll(0.1).records.values() for record in records):
            pass
        took.append(1000 * (time.monotonic() - began_s))
    source.close()
    sink.close()
    return took


def measure(system: System, rounds: int) -> dict[str, float]:
    """Times in ms, as the line that is printed has them."""
    log = KafkaLog(system.settings.kafka, system.settings.topics.prefix)
    sink = log.sink()
    started = RoomStarted(room=ROOM, streamer="s", at_ms=time.time_ns() // 1_000_000, title="a room")
    sink.send(ROOMS, ROOM.encode(), encode(started))
    sink.close()
    streak_ms(system, lambda client: bool(client.recommend("viewer-1", shown=False).rooms), time.monotonic())
    rule_ms(system)  # the first one opens connections
    put_ms, delete_ms = zip(*(rule_ms(system) for _ in range(rounds)), strict=True)
    bare = bare_ms(log, rounds)
    with Client(system.url) as client:
        try:
            client.rule(RULE)
            raise RuntimeError("the rule is still there")
        except NotFound:
            pass
    return {
        "put_p50_ms": statistics.median(put_ms),
        "put_max_ms": max(put_ms),
        "delete_p50_ms": statistics.median(delete_ms),
        "delete_max_ms": max(delete_ms),
        "bare_p50_ms": statistics.median(bare),
        "bare_max_ms": max(bare),
        "ratio": statistics.median(put_ms) / statistics.median(bare),
    }


def main() -> int:
    """Prints the figures; as one JSON object with --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    settings = Settings()
    settings = dataclasses.replace(settings, http=dataclasses.replace(settings.http, replicas=options.replicas))
    with stack(settings) as system:
        say(f"{options.rounds} rules, one after the other ...")
        figures = {name: round(value, 1) for name, value in measure(system, options.rounds).items()}
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:20} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
