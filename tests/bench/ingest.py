"""Measures the worker loops against a bare kafka-python poll and msgspec decode of the same topics in the same run.

The bare side is `KafkaConsumer.poll` as kafka-python has it, with the workers' fetch settings, in no group, and a
decode of every value into the same record types; it folds, groups, checks and writes nothing. The loop's side is a
whole worker with its default settings: poll, decode, fold, schedule, publish, commit, in a group, from its first batch
to the end of its last transaction: the last states count, joining does not. Restoring is excluded: every round is a new
member that finds no states. The encoder answers at once with a fixed vector, so texts are built and vectors folded as
fast as the loop asks, which is more than any encoder would have it do.

A ratio is of records per second; the `cpu` ratios are of records per second of processor time, all threads of the
process, which a busy machine disturbs less. A machine's speed may drift by a third within a minute, so in every round
the loop runs between two bare ones and is compared with their mean; a figure is the median of the rounds. Every run
begins without the garbage of the last. The broker reads from the page cache. `--profile room|profile` prints where the
time goes instead.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import pstats
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from kafka import KafkaConsumer, TopicPartition

from actors.profiles.worker import ProfileWorker
from actors.rooms.encoder_client import Encoded
from actors.rooms.worker import RoomWorker
from actors.settings import ProfileWorkerConfig, RoomWorkerConfig
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.broker.source import KafkaSource
from streaming.clock import SystemClock
from streaming.events import ChatMessage, RoomStarted, ViewerEvent
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log.codec import encode
from streaming.log.log import Partition, Sink
from streaming.log.loop import collect_less
from streaming.log.topic_check import check_topics
from streaming.log.topics import CHAT, ROOMS, VIEWER_EVENTS, TopicsConfig
from streaming.prometheus import PrometheusMetrics
from streaming.room.window_config import WindowConfig
from streaming.viewer.profile_config import ProfileConfig
from tests.bench.stopping import leave_on_sigterm

WORDS = ("lol", "the", "boss", "again", "nice", "what", "run", "clip", "that", "ggs", "song", "name", "please", "KEKW")
ACTIONS = ("enter", "leave", "watch", "chat", "like", "follow", "gift")
ACTION_WEIGHTS = (6, 4, 50, 30, 8, 1, 1)  # a visit of some minutes with a heartbeat every 10 s


class FixedEncoder:
    """Answers at once with the same vector for every text."""

    def submit(self, texts: Sequence[str], encoder: str = "") -> Future[Encoded]:
        future: Future[Encoded] = Future()
        future.set_result(Encoded(np.full((len(texts), 384), 384**-0.5, np.float16), "fixed"))
        return future


class Moment(NamedTuple):
    """A time by the clock and by the processor."""

    wall_s: float
    cpu_s: float


def now() -> Moment:
    return Moment(time.perf_counter(), time.process_time())


@dataclass
class Span:
    """From the first batch to the last commit; the first batch's records are not counted."""

    records: int = 0
    first: int = 0
    began: Moment = field(default_factory=lambda: Moment(0, 0))
    ended: Moment = field(default_factory=lambda: Moment(0, 0))

    def rate(self) -> Moment:
        """Records per second of the clock and of this process's processor time."""
        records = self.records - self.first
        return Moment(
            records / (self.ended.wall_s - self.began.wall_s), records / (self.ended.cpu_s - self.began.cpu_s)
        )


class WatchedLog(KafkaLog):
    """A KafkaLog whose group says when its first batch came, and stops the worker after `total` records.

    To a worker it looks new: the group is the round's own, and state topics seem empty.
    """

    def __init__(self, config: KafkaConfig, round_: int, total: int, prefix: str = "") -> None:
        super().__init__(config, prefix)
        self.span = Span()
        self.stop = threading.Event()
        self._total = total
        self._round = round_

    def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return dict.fromkeys(partitions, 0)

    def group(self, topics: Sequence[str], group: str, member: str, beside: Sequence[str] = ()) -> KafkaSource:
        source = super().group(topics, f"{group}-{self._round}", member, beside)
        poll, span = source.poll, self.span

        def watched(timeout_s: float) -> Any:
            batch = poll(timeout_s)
            if batch.records:
                if not span.records:
                    span.began, span.first = now(), len(batch)
                span.records += len(batch)
                if span.records >= self._total:
                    self.stop.set()
            return batch

        source.poll = watched  # type: ignore[method-assign]
        return source

    def sink(self, transactional_id: str | None = None) -> Any:
        sink = super().sink(None if transactional_id is None else f"{transactional_id}-{self._round}")
        begin_commit = sink.begin_commit

        def ended(ending: Future[None]) -> None:
            if ending.exception() is None:
                self.span.ended = now()

        def watched(*arguments: Any) -> Future[None]:
            ending = begin_commit(*arguments)
            ending.add_done_callback(ended)
            return ending

        sink.begin_commit = watched  # type: ignore[method-assign, assignment]
        return sink


class Worker(NamedTuple):
    """A loop to measure: on which topics, and what a record of them is called."""

    name: str
    records: str
    topics: dict[str, type]
    run: Callable[[WatchedLog], Callable[[], None]]


def popular(rng: random.Random, rooms: int) -> int:
    """A room, drawn as audiences are: few have most of it."""
    return int(rng.paretovariate(0.6)) % rooms


def fill(sink: Sink, messages: int, rooms: int, events: int, viewers: int) -> None:
    """Rooms, chat of about a message a second each, and events of viewers, all written as fast as they go."""
    rng = random.Random(1)
    now_ms = time.time_ns() // 1_000_000
    first_ms = now_ms - messages // rooms * 1000
    for number in range(rooms):
        name, streamer = f"room-{number}", f"streamer-{number}"
        started = RoomStarted(room=name, streamer=streamer, at_ms=first_ms, title=f"title {number}")
        sink.send(ROOMS, started.room.encode(), encode(started))
    for i in range(messages):
        text = " ".join(rng.choices(WORDS, k=rng.randint(1, 9)))
        room = f"room-{popular(rng, rooms)}"
        message = ChatMessage(
            room=room, viewer=f"viewer-{rng.randrange(viewers)}", text=text, at_ms=first_ms + i * 1000 // rooms
        )
        sink.send(CHAT, room.encode(), encode(message))
    current = [0] * viewers
    for i in range(events):
        viewer = rng.randrange(viewers)
        action: Any = "enter" if not current[viewer] else rng.choices(ACTIONS, ACTION_WEIGHTS)[0]
        if action == "enter":
            current[viewer] = 1 + popular(rng, rooms)
        room_index = current[viewer] - 1
        if action == "leave":
            current[viewer] = 0
        event = ViewerEvent(
            viewer=f"viewer-{viewer}",
            room=f"room-{room_index}",
            streamer=f"streamer-{room_index}",
            action=action,
            at_ms=now_ms - 60_000 + i * 60_000 // events,
            seconds=10.0 if action == "watch" else 0.0,
        )
        sink.send(VIEWER_EVENTS, event.viewer.encode(), encode(event))
    sink.flush()


def bare(servers: str, topics: dict[str, type], partitions: int, total: int) -> Moment:
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
    consumer.assign([TopicPartition(topic, index) for topic in topics for index in range(partitions)])
    decoders: dict[str, Any] = {topic: msgspec.json.Decoder(kind).decode for topic, kind in topics.items()}
    gc.collect()
    span = Span()
    while span.records < total:
        for there, lines in consumer.poll(timeout_ms=200).items():
            if not span.records:
                span.began, span.first = now(), len(lines)
            decode = decoders[there.topic]
            for line in lines:
                decode(line.value)
            span.records += len(lines)
    span.ended = now()
    consumer.close()
    return span.rate()


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


def mean(first: Moment, second: Moment) -> Moment:
    """The rate of two runs of the same length together."""
    wall, cpu = zip(first, second, strict=True)
    return Moment(statistics.harmonic_mean(wall), statistics.harmonic_mean(cpu))


def measure(config: KafkaConfig, what: Worker, records: int, rounds: int, *, profile: bool) -> dict[str, list[float]]:
    """Figures of each round."""
    figures: dict[str, list[float]] = {}
    for number in range(rounds):
        before = bare(config.bootstrap_servers, what.topics, 4, records)
        log = WatchedLog(config, number, records)
        profiled(what.run(log), profile)
        after = bare(config.bootstrap_servers, what.topics, 4, records)
        rate, raw = log.span.rate(), mean(before, after)
        for name, figure in (
            (f"{what.name}_ratio", rate.wall_s / raw.wall_s),
            (f"{what.name}_cpu_ratio", rate.cpu_s / raw.cpu_s),
            (f"{what.records}_per_s", rate.wall_s),
            (f"bare_{what.records}_per_s", raw.wall_s),
        ):
            figures.setdefault(name, []).append(figure)
        print(", ".join(f"{name} {each[-1]:,.3f}" for name, each in figures.items()), file=sys.stderr)
    return figures


def profiled(run: Callable[[], None], wanted: bool) -> None:
    """Runs it, under a profiler where wanted."""
    gc.collect()
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
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--rooms", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--viewers", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", choices=("room", "profile"))
    args = parser.parse_args()
    leave_on_sigterm()
    collect_less()  # as the loops have it: the bare poll is measured in the same surroundings
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalKafka(LocalKafkaConfig(folder=folder, port=0, controller_port=0)) as broker,
    ):
        config = KafkaConfig(bootstrap_servers=broker.bootstrap_servers)
        with KafkaAdmin(config) as admin:
            check_topics(admin, TopicsConfig())
        sink = KafkaLog(config).sink()
        fill(sink, args.messages, args.rooms, args.events, args.viewers)
        sink.close()
        rooms = Worker("room", "messages", {CHAT: ChatMessage, ROOMS: RoomStarted}, run_rooms)
        viewers = Worker("profile", "events", {VIEWER_EVENTS: ViewerEvent}, run_profiles)
        # rooms first: what viewers do becomes room-activity, which they would read
        total, wanted = args.messages + args.rooms, args.profile
        rounds = measure(config, rooms, total, args.rounds, profile=wanted == "room")
        rounds |= measure(config, viewers, args.events, args.rounds, profile=wanted == "profile")
    figures = {name: round(statistics.median(each), 3) for name, each in rounds.items()}
    print(json.dumps(figures) if args.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
