"""Measures the worker loops against a bare kafka-python poll and msgspec decode of the same topics in the same run.

Restoring is excluded; the encoder answers at once with a fixed vector, so what remains is the loop: poll, decode, fold,
schedule, publish, commit. `--profile room|profile` prints where the time goes instead.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from kafka import KafkaConsumer, TopicPartition

from actors.encoding import Encoded
from actors.profile_worker import ProfileWorker, ProfileWorkerConfig
from actors.room_worker import RoomWorker, RoomWorkerConfig
from streaming.broker import KafkaAdmin, KafkaConfig, KafkaLog
from streaming.broker.source import KafkaSource
from streaming.clock import SystemClock
from streaming.codec import encode
from streaming.events import ChatMessage, RoomStarted, ViewerEvent
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log import Sink
from streaming.metrics import PrometheusMetrics
from streaming.profile import ProfileConfig
from streaming.topic_check import check_topics
from streaming.topics import CHAT, ROOMS, VIEWER_EVENTS, TopicsConfig
from streaming.window import WindowConfig

WORDS = ("lol", "the", "boss", "again", "nice", "what", "run", "clip", "that", "ggs", "song", "name", "please", "KEKW")
ACTIONS = ("enter", "leave", "watch", "watch", "watch", "like", "chat", "chat", "follow", "gift")


class FixedEncoder:
    """Answers at once with the same vector for every text."""

    def submit(self, texts: Sequence[str]) -> Future[Encoded]:
        future: Future[Encoded] = Future()
        future.set_result(Encoded(np.full((len(texts), 384), 384**-0.5, np.float16), "fixed"))
        return future


@dataclass
class Span:
    """From the first batch to the last commit; the first batch's records are not counted."""

    records: int = 0
    first: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0

    def per_s(self) -> float:
        return (self.records - self.first) / (self.ended_s - self.began_s)


class WatchedLog(KafkaLog):
    """A KafkaLog whose group says when its first batch came, and stops the worker after `total` records."""

    def __init__(self, config: KafkaConfig, prefix: str, total: int) -> None:
        super().__init__(config, prefix)
        self.span = Span()
        self.stop = threading.Event()
        self._total = total

    def group(self, topics: Sequence[str], group: str, member: str) -> KafkaSource:
        source = super().group(topics, group, member)
        poll, span = source.poll, self.span

        def watched(timeout_s: float) -> Any:
            batch = poll(timeout_s)
            if batch.records:
                if not span.records:
                    span.began_s, span.first = time.perf_counter(), len(batch)
                span.records += len(batch)
                if span.records >= self._total:
                    self.stop.set()
            return batch

        source.poll = watched  # type: ignore[method-assign]
        return source

    def sink(self, transactional_id: str | None = None) -> Any:
        sink = super().sink(transactional_id)
        commit = sink.commit

        def watched(*arguments: Any) -> None:
            commit(*arguments)
            self.span.ended_s = time.perf_counter()

        sink.commit = watched  # type: ignore[method-assign]
        return sink


def fill(sink: Sink, messages: int, rooms: int, events: int, viewers: int) -> None:
    """Rooms, chat of about a message a second each, and events of viewers, all written as fast as they go."""
    rng = random.Random(1)
    now_ms = time.time_ns() // 1_000_000
    first_ms = now_ms - messages // rooms * 1000
    for room in range(rooms):
        started = RoomStarted(room=f"room-{room}", streamer=f"streamer-{room}", at_ms=first_ms, title=f"title {room}")
        sink.send(ROOMS, started.room.encode(), encode(started))
    for i in range(messages):
        text = " ".join(rng.choices(WORDS, k=rng.randint(1, 9)))
        room = f"room-{rng.randrange(rooms)}"
        message = ChatMessage(
            room=room, viewer=f"viewer-{rng.randrange(viewers)}", text=text, at_ms=first_ms + i * 1000 // rooms
        )
        sink.send(CHAT, room.encode(), encode(message))
    for i in range(events):
        viewer, room_index = f"viewer-{rng.randrange(viewers)}", rng.randrange(rooms)
        action: Any = rng.choice(ACTIONS)
        event = ViewerEvent(
            viewer=viewer,
            room=f"room-{room_index}",
            streamer=f"streamer-{room_index}",
            action=action,
            at_ms=now_ms - 60_000 + i * 60_000 // events,
            seconds=10.0 if action == "watch" else 0.0,
        )
        sink.send(VIEWER_EVENTS, viewer.encode(), encode(event))
    sink.flush()


def bare(servers: str, prefix: str, topics: dict[str, type], partitions: int, total: int) -> float:
    """Records per second of poll and decode alone, through a consumer with the workers' settings."""
    consumer = KafkaConsumer(
        bootstrap_servers=servers.split(","),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=KafkaConfig().max_poll_records,
        fetch_max_wait_ms=KafkaConfig().fetch_max_wait_ms,
        max_partition_fetch_bytes=4_194_304,
        metrics_enabled=False,
    )
    consumer.assign([TopicPartition(prefix + topic, index) for topic in topics for index in range(partitions)])
    decoders = {prefix + topic: msgspec.json.Decoder(kind).decode for topic, kind in topics.items()}
    span = Span()
    while span.records < total:
        for there, lines in consumer.poll(timeout_ms=200).items():
            if not span.records:
                span.began_s, span.first = time.perf_counter(), len(lines)
            decode = decoders[there.topic]
            for line in lines:
                decode(line.value)
            span.records += len(lines)
    span.ended_s = time.perf_counter()
    consumer.close()
    return span.per_s()


def run_rooms(log: WatchedLog) -> Callable[[], None]:
    worker = RoomWorker(
        log,
        "0",
        config=RoomWorkerConfig(),
        window=WindowConfig(),
        encoder=FixedEncoder(),
        metrics=PrometheusMetrics(),
        clock=SystemClock(),
    )
    return lambda: worker.run(log.stop)


def run_profiles(log: WatchedLog) -> Callable[[], None]:
    worker = ProfileWorker(
        log,
        "0",
        config=ProfileWorkerConfig(),
        profile=ProfileConfig(),
        metrics=PrometheusMetrics(),
        clock=SystemClock(),
    )
    return lambda: worker.run(log.stop)


def measure(servers: str, args: argparse.Namespace) -> dict[str, float]:
    """The figures of the last line: medians over the rounds."""
    config = KafkaConfig(bootstrap_servers=servers)
    room_ratios, profile_ratios, rates, profile_rates = [], [], [], []
    for turn in range(args.rounds):
        prefix = f"ingest{turn}."
        with KafkaAdmin(config) as admin:
            check_topics(admin, TopicsConfig(prefix=prefix))
        sink = KafkaLog(config, prefix).sink()
        fill(sink, args.messages, args.rooms, args.events, args.viewers)
        sink.close()
        chat_total = args.messages + args.rooms
        chat_types: dict[str, Any] = {CHAT: ChatMessage, ROOMS: RoomStarted}
        bare_chat = bare(servers, prefix, chat_types, 4, chat_total)
        rooms_log = WatchedLog(config, prefix, chat_total)
        profiled(run_rooms(rooms_log), args.profile == "room")
        bare_events = bare(servers, prefix, {VIEWER_EVENTS: ViewerEvent}, 4, args.events)
        profiles_log = WatchedLog(config, prefix, args.events)
        profiled(run_profiles(profiles_log), args.profile == "profile")
        rates.append(rooms_log.span.per_s())
        profile_rates.append(profiles_log.span.per_s())
        room_ratios.append(rates[-1] / bare_chat)
        profile_ratios.append(profile_rates[-1] / bare_events)
        print(
            f"round {turn}: bare {bare_chat:,.0f} and {bare_events:,.0f} records/s, "
            f"rooms {rates[-1]:,.0f}, profiles {profile_rates[-1]:,.0f}",
            file=sys.stderr,
        )
    return {
        "room_ratio": round(statistics.median(room_ratios), 3),
        "profile_ratio": round(statistics.median(profile_ratios), 3),
        "messages_per_s": round(statistics.median(rates)),
        "events_per_s": round(statistics.median(profile_rates)),
    }


def profiled(run: Callable[[], None], wanted: bool) -> None:
    """Runs it, under a profiler where wanted."""
    if not wanted:
        run()
        return
    profile = cProfile.Profile()
    profile.runcall(run)
    pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(40)


def main() -> None:
    """One JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--bootstrap-servers", default="", help="an existing Kafka; without it one is started")
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--rooms", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--viewers", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", choices=("room", "profile"))
    args = parser.parse_args()
    if args.bootstrap_servers:
        figures = measure(args.bootstrap_servers, args)
    else:
        with (
            tempfile.TemporaryDirectory() as folder,
            LocalKafka(LocalKafkaConfig(folder=folder, port=0, controller_port=0)) as broker,
        ):
            figures = measure(broker.bootstrap_servers, args)
    print(json.dumps(figures) if args.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
