"""Wants a lease in a process of its own, for tests to freeze and kill. See `--help`.

It prints `has` each time it gets the lease. Each line on its standard input is a question whether it may change
something; it prints `may`, or `may not: ` and why. Its Kafka topic is `models`.
"""

from __future__ import annotations

import argparse
import sys
import threading

from streaming.broker import KafkaLog
from streaming.errors import LogError
from streaming.kafka_config import KafkaConfig
from streaming.log.lease import Lease

BEAT_S = 0.2


def main() -> None:
    """Runs until its standard input ends, and leaves then."""
    parser = argparse.ArgumentParser(prog="tests.lease_process")
    parser.add_argument("servers")
    parser.add_argument("prefix")
    parser.add_argument("group")
    parser.add_argument("name")
    parser.add_argument("session_s", type=float)
    options = parser.parse_args()
    config = KafkaConfig(bootstrap_servers=options.servers, session_timeout_s=options.session_s)
    lease = Lease(KafkaLog(config, options.prefix), "models", options.group, options.name)
    stop, wants = threading.Event(), threading.Event()
    wants.set()
    beat = threading.Thread(target=_beat, args=(lease, stop, wants))
    beat.start()
    for _ in sys.stdin:  # another thread than the one that keeps it, as in the Trainer
        try:
            lease.require()
        except LogError as err:
            _say(f"may not: {err}")
            wants.set()
        else:
            _say("may")
    stop.set()
    beat.join()
    lease.release()


def _beat(lease: Lease, stop: threading.Event, wants: threading.Event) -> None:
    """Keeps the lease; gets it only at the beginning and after a refusal, as a Trainer does between two runs."""
    while not stop.wait(BEAT_S):
        lease.keep()
        if wants.is_set() and _has(lease):
            wants.clear()
            _say("has")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _has(lease: Lease) -> bool:
    try:
        return lease.acquire()
    except LogError:
        return False  # the broker is away, or busy: the next beat tries again


if __name__ == "__main__":
    main()
