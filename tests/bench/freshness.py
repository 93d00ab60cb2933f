"""Recorded Twitch chat at real speed through everything: how old a message is when its room's vector is servable.

    python -m tests.bench.freshness [--json] [--chat FILE] [--window W] [--seconds S]

Of every message of the recording: from its append time, as the broker gave it, to when a reader beside the replicas has
the first state whose vector saw it (`vector_offset`). Of probes: from a viewer's event being handed to the producer to
the first HTTP answer that knows it.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.config.settings import Settings
from deploy.local.system import System
from streaming.broker import KafkaLog
from streaming.events import RoomState, ViewerEvent
from streaming.log.codec import Decoder, encode
from streaming.log.topics import CHAT, ROOM_STATES, VIEWER_EVENTS
from streaming.room.content_slots import read_by
from tests.bench.stack import say, stack

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "twitch-chat-2025"
WARM_UP_S = 20.0  # the first titles and windows of all rooms come at once
PROBE_EVERY_S = 0.5


class Watch:
    """Follows chat and room states from where they are now. Times in ms since the epoch.

    encoder: whose reading of rooms counts; "" for the one in front.
    """

    def __init__(self, log: KafkaLog, encoder: str = "") -> None:
        self.encoder = encoder
        partitions = [*log.partitions(CHAT), *log.partitions(ROOM_STATES)]
        self._source = log.reader(partitions, "end")
        self._decode = Decoder(ROOM_STATES)
        self._waiting: dict[str, collections.deque[tuple[int, int]]] = {}
        self._seen: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.taken_ms: list[tuple[int, int]] = []  # when, and after how long

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._source.close()

    @property
    def waiting(self) -> int:
        """Messages whose vector has not been seen."""
        return sum(map(len, self._waiting.values()))

    def _run(self) -> None:
        while not self._stop.is_set():
            batch = self._source.poll(0.02)
            now_ms = time.time_ns() // 1_000_000
            for partition, records in batch.records.items():
                for record in records:
                    room = (record.key or b"").decode()
                    if partition.topic == CHAT:
                        if record.offset > self._seen.get(room, -1):  # its state may have been read first
                            self._waiting.setdefault(room, collections.deque()).append(
                                (record.offset, record.timestamp)
                            )
                    elif record.value is not None:
                        self._servable(room, self._decode(record.value), now_ms)

    def _servable(self, room: str, state: RoomState, now_ms: int) -> None:
        state = read_by(state, self.encoder) if self.encoder else state
        self._seen[room] = state.vector_offset
        waiting = self._waiting.get(room)
        while waiting and waiting[0][0] <= state.vector_offset:
            self.taken_ms.append((now_ms, now_ms - waiting.popleft()[1]))


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


@contextlib.contextmanager
def replaying(system: System, chat: Path, window: int) -> Iterator[None]:
    """`tidecast replay` at real speed, in its own process."""
    channels = chat.with_name("channels.csv")
    command = [sys.executable, "-m", "deploy.cli", "replay", str(chat), "--window", str(window), "--json"]
    command += ["--channels", str(channels)] if channels.exists() else []
    overrides = {"TIDECAST_KAFKA__BOOTSTRAP_SERVERS": system.settings.kafka.bootstrap_servers}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**os.environ, **overrides}, stdout=log, stderr=log)
        try:
            yield
            if process.poll() not in (None, 0):
                log.seek(0)
                raise RuntimeError(f"the replay ended: {log.read()[-500:].decode()}")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def probe_events(system: System, seconds: float) -> list[float]:
    """Lets viewers who are new enter a live room, one after the other; ms until an answer knows each."""
    sink = KafkaLog(system.settings.kafka, system.settings.topics.prefix).sink()
    taken_ms: list[float] = []
    until_s = time.monotonic() + seconds
    with contextlib.closing(system.client()) as client:
        number = 0
        while time.monotonic() < until_s:
            rooms = client.rooms(limit=1)
            if not rooms:
                time.sleep(PROBE_EVERY_S)
                continue
            number += 1
            viewer, now_ms = f"probe-{number}", time.time_ns() // 1_000_000
            event = ViewerEvent(
                viewer=viewer, room=rooms[0].room, streamer=rooms[0].streamer, action="enter", at_ms=now_ms
            )
            began_s = time.perf_counter()
            sink.send(VIEWER_EVENTS, viewer.encode(), encode(event))
            sink.flush()
            while not client.recommend(viewer, limit=5).known and time.perf_counter() - began_s < 10:
                time.sleep(0.002)
            taken_ms.append((time.perf_counter() - began_s) * 1e3)
            time.sleep(PROBE_EVERY_S)
    sink.close()
    return taken_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chat", type=Path, default=DATA / "chat.parquet")
    parser.add_argument("--window", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    if not args.chat.exists():
        parser.error(f"{args.chat} is not there; name a recorded chat with --chat")
    with stack(Settings()) as system, Watch(KafkaLog(system.settings.kafka)) as watch:
        say(f"replaying window {args.window}; {WARM_UP_S:.0f} s of warm-up, then {args.seconds:.0f} s are measured")
        with replaying(system, args.chat, args.window):
            time.sleep(WARM_UP_S)
            began_ms = time.time_ns() // 1_000_000
            events_ms = probe_events(system, args.seconds)
            chat_ms = [float(took) for at, took in watch.taken_ms if at >= began_ms]
            with contextlib.closing(system.client()) as client:
                rooms, posts = client.readiness().live_rooms, client.status().processes
            waiting = watch.waiting
    encoders = [post.detail["texts_per_s"] for post in posts if post.name == "encoder"]
    result = {
        "chat_p50_ms": round(percentile(chat_ms, 0.50)),
        "chat_p99_ms": round(percentile(chat_ms, 0.99)),
        "event_p50_ms": round(percentile(events_ms, 0.50), 1),
        "event_p99_ms": round(percentile(events_ms, 0.99), 1),
        "messages": len(chat_ms),
        "messages_per_s": round(len(chat_ms) / args.seconds, 1),
        "messages_waiting": waiting,
        "events": len(events_ms),
        "rooms": rooms,
        "encoder_texts_per_s": round(sum(encoders), 1),
    }
    if args.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:<24} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
