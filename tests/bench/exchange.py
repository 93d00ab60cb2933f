"""Measures what a change of the encoder costs in a running system: freshness and answers before, during and after.

    python -m tests.bench.exchange [--json] [--rooms N] [--messages N] [--seconds S] [--share S]

Rooms with a title each, in which so many messages a second are said; two threads ask all the time. The encoder is
MiniLM; then a version goes live that reads another one, a copy of MiniLM whose texts begin with words of their own, and
whose files come from the registry. Of every message: from its append time to the first state on the log in which the
encoder that answers use has read it. During is from the promotion until all replicas answer with the new version, and
after until as long again. An answer is wrong if it fails, or has a room of another encoder than its version's.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from actors.recommend.schema import Answer
from deploy.config.settings import Settings
from deploy.http.client import Client
from deploy.local.system import System
from streaming.archive.store import open_store
from streaming.broker import KafkaLog
from streaming.clock import SystemClock
from streaming.events import ChatMessage, RoomStarted
from streaming.log.codec import encode
from streaming.log.topics import CHAT, ROOMS
from tests.askers import Askers, encoders_of_rooms
from tests.bench.freshness import Watch, percentile
from tests.bench.stack import say, stack
from tests.untrained import untrained
from training.content.language_model import OWN_SETTINGS, folder_of
from training.content.text_encoder import LazyTextEncoder
from training.registry.registry import OpenGate, Registry
from training.settings import EncoderConfig

WORDS = ("what", "a", "move", "that", "was", "again", "please", "the", "boss", "wins", "nice", "song", "who", "now")
WAIT_S = 900.0
ASKERS, VIEWERS = 2, 997


class Platform(threading.Thread):
    """Rooms, and so many messages a second in rooms drawn at random: one in four in a tenth of them."""

    def __init__(self, log: KafkaLog, rooms: int, messages_per_s: float) -> None:
        super().__init__(daemon=True)
        self._sink = log.sink()
        self._rooms, self._per_s = rooms, messages_per_s
        self._random = random.Random(7)
        self._stopped = threading.Event()
        now_ms = time.time_ns() // 1_000_000
        for number in range(rooms):
            title = f"{' '.join(self._random.choices(WORDS, k=6))} {number}"
            started = RoomStarted(room=f"room-{number}", streamer=f"streamer-{number}", at_ms=now_ms, title=title)
            self._sink.send(ROOMS, started.room.encode(), encode(started))
        self._sink.flush()

    def run(self) -> None:
        began_s, sent = time.monotonic(), 0
        while not self._stopped.wait(0.05):
            for _ in range(int((time.monotonic() - began_s) * self._per_s) - sent):
                sent += 1
                number = self._random.randrange(self._rooms if sent % 4 else max(1, self._rooms // 10))
                text = " ".join(self._random.choices(WORDS, k=8))
                now_ms = time.time_ns() // 1_000_000
                said = ChatMessage(room=f"room-{number}", viewer=f"viewer-{sent % VIEWERS}", text=text, at_ms=now_ms)
                self._sink.send(CHAT, said.room.encode(), encode(said))
            self._sink.flush()

    def stop(self) -> None:
        self._stopped.set()
        self.join()
        self._sink.close()


def measure(system: System, rooms: int, messages_per_s: float, seconds: float) -> dict[str, Any]:
    """The figures. Blocks for minutes."""
    settings, log = system.settings, KafkaLog(system.settings.kafka)
    own = settings.encoder
    old = LazyTextEncoder(own).version
    registry = Registry(open_store(settings.registry.uri, "registry"), log, SystemClock())
    streamers = [f"streamer-{number}" for number in range(rooms)]
    with tempfile.TemporaryDirectory(prefix="tidecast-bench-") as folder:
        ours = Path(folder) / "ours"
        shutil.copytree(folder_of("minilm"), ours)
        (ours / OWN_SETTINGS).write_text('{"prefix": "the room says: "}')
        new = LazyTextEncoder(dataclasses.replace(own, model=str(ours))).version
        registry.publish(untrained("one", streamers, old))
        registry.publish(untrained("two", streamers, new), ours)
    platform = Platform(log, rooms, messages_per_s)
    with contextlib.closing(system.client()) as client:
        say(f"{rooms:,} titles are read first")
        await_that(lambda: client.readiness().live_rooms == rooms and backlog(client) == 0)
        platform.start()
        registry.promote("one", OpenGate())
        await_that(lambda: versions(client) == {"one"})
        encoder_of = {"one": old, "two": new}
        bare_ms: list[int] = []  # when answers came that have a room without content

        def complaint_about(answer: Answer) -> str:
            encoders = encoders_of_rooms(answer)
            if "" in encoders:
                bare_ms.append(time.time_ns() // 1_000_000)
            return "of two encoders" if encoders - {encoder_of[answer.model_version], ""} else ""

        with Watch(log, old) as watch, Askers(system.url, ASKERS, VIEWERS, complaint_about) as askers:
            say(f"before: {seconds:.0f} s")
            time.sleep(10.0)  # the first messages after the titles
            began_ms = time.time_ns() // 1_000_000
            time.sleep(seconds)
            promoted_ms = time.time_ns() // 1_000_000
            registry.promote("two", OpenGate())
            say("the new encoder reads the rooms")
            await_that(lambda: versions(client) == {"two"})
            flipped_ms = time.time_ns() // 1_000_000
            watch.encoder = new
            say(f"all replicas answer with it after {(flipped_ms - promoted_ms) / 1000:.0f} s; {seconds:.0f} s after")
            time.sleep(seconds)
            ended_ms = time.time_ns() // 1_000_000
        platform.stop()
    spans = {"before": (began_ms, promoted_ms), "during": (promoted_ms, flipped_ms), "after": (flipped_ms, ended_ms)}
    found: dict[str, Any] = {"rooms": rooms, "exchange_s": round((flipped_ms - promoted_ms) / 1000, 1)}
    for name, (from_ms, until_ms) in spans.items():
        waits_ms = [float(took) for at, took in watch.taken_ms if from_ms <= at < until_ms]
        answers_ms = [took for at, took in askers.took_ms if from_ms <= at < until_ms]
        found |= {
            f"{name}_chat_p50_ms": round(percentile(waits_ms, 0.5), 1),
            f"{name}_chat_p99_ms": round(percentile(waits_ms, 0.99), 1),
            f"{name}_answer_p50_ms": round(percentile(answers_ms, 0.5), 1),
            f"{name}_answer_p99_ms": round(percentile(answers_ms, 0.99), 1),
            f"{name}_answers": len(answers_ms),
            f"{name}_messages": len(waits_ms),
            f"{name}_with_a_room_without_content": sum(from_ms <= at < until_ms for at in bare_ms),
        }
    found["p99_ratio"] = round(found["during_chat_p99_ms"] / found["before_chat_p99_ms"], 2)
    return {
        **found,
        "failed": len(askers.failed),
        "of_two_encoders": len(askers.wrong),
    }


def versions(client: Client) -> set[str]:
    """The versions that replicas answer with."""
    return {post.detail["model_version"] for post in client.status().processes if post.name == "recommender"}


def backlog(client: Client) -> float:
    """Texts that wait for the encoder."""
    return sum(post.detail["encoder_backlog"] for post in client.status().processes if post.name == "room-worker")


def await_that(check: Any) -> None:
    """Waits until it holds. Raises TimeoutError."""
    deadline_s = time.monotonic() + WAIT_S
    while not check():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"nothing of the kind within {WAIT_S:.0f} s")
        time.sleep(0.25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=10_000)
    parser.add_argument("--messages", type=float, default=20.0, help="a second, in all rooms together (20)")
    parser.add_argument("--seconds", type=float, default=60.0, help="before, and after (60)")
    parser.add_argument("--share", type=float, help="room_worker.exchange.share")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    settings = Settings(encoder=EncoderConfig(max_tokens=32))
    worker = settings.room_worker
    if args.share:
        exchange = dataclasses.replace(worker.exchange, share=args.share)
        settings = dataclasses.replace(settings, room_worker=dataclasses.replace(worker, exchange=exchange))
    with tempfile.TemporaryDirectory(prefix="tidecast-bench-") as folder:
        registry = dataclasses.replace(settings.registry, uri=f"{folder}/models")
        with stack(dataclasses.replace(settings, registry=registry)) as system:
            found = measure(system, args.rooms, args.messages, args.seconds)
    if args.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:<28} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
