"""Runs the viewers of its partitions: events in, profiles and activity out, exactly once. Owns no fold's meaning."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.profile_partition import ProfilePartition
from actors.worker_status import Gauge, WorkerStatus
from streaming.clock import Clock
from streaming.dead_letter import DeadLetters
from streaming.errors import ConfigError
from streaming.events import ViewerId
from streaming.log import Batch, Log, Partition, Sink, Source
from streaming.loop import Loop, Membership
from streaming.metrics import Metrics
from streaming.profile_config import ProfileConfig
from streaming.topics import ROOM_ACTIVITY, VIEWER_EVENTS, VIEWER_PROFILES

GROUP = "profile-workers"
MEASURE_MS = 1_000


@dataclass(frozen=True, slots=True)
class ProfileWorkerConfig:
    """How often a ProfileWorker commits, and how many viewers it keeps unpacked."""

    commit_every_ms: int = 25  # a lone event is committed at once; a transaction takes 8 ms
    busy_commit_every_ms: int = 1_000  # while there is more to read
    folds_per_partition: int = 20_000  # the others are kept as bytes; an unpacked profile takes several times as much

    def __post_init__(self) -> None:
        for name in ("commit_every_ms", "busy_commit_every_ms"):
            if getattr(self, name) < 0:
                raise ConfigError(f"profile_worker.{name} is {getattr(self, name)}; it must not be negative")
        if self.folds_per_partition < 1:
            raise ConfigError(
                f"profile_worker.folds_per_partition is {self.folds_per_partition}; it must be at least 1"
            )


@dataclass(frozen=True, slots=True)
class ProfileWorkerStatus(WorkerStatus):
    """A ProfileWorker about a second ago."""

    profiles: int = 0


class ProfileWorker:
    """One member of the group `profile-workers`. `run` is for one thread; `status` and `profile` for any."""

    def __init__(
        self,
        log: Log,
        member: str,
        *,
        config: ProfileWorkerConfig,
        profile: ProfileConfig,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._log = log
        self._member = member
        self._config = config
        self._profile = profile
        self._metrics = metrics
        self._clock = clock
        self._loop = Loop(log, Membership(GROUP, member, (VIEWER_EVENTS,)), self, metrics, clock)
        self._homes: dict[int, ProfilePartition] = {}
        self._status = ProfileWorkerStatus(member)

    def run(self, stop: threading.Event) -> None:
        """Blocks until `stop`. Raises Fenced where another process has taken this member's place, TopicMissing."""
        self._loop.run(stop)

    def status(self) -> ProfileWorkerStatus:
        """How it is doing."""
        return self._status

    def profile(self, viewer: ViewerId) -> bytes | None:
        """The MessagePack of a viewer's profile as published; None for a stranger or another worker's partition."""
        for home in list(self._homes.values()):
            value = home.profile(viewer)
            if value is not None:
                return value
        return None

    # what the loop drives

    def begin(self, source: Source, sink: Sink) -> None:
        self._source, self._sink = source, sink
        self._letters = DeadLetters(sink, self._metrics)
        self._homes = {}
        self._gauge = Gauge(GROUP, self._metrics, self._clock)
        self._uncommitted: dict[Partition, int] = {}
        self._measured_ms = self._clock.now_ms()
        self._committed_ms = self._gap_ms = 0

    def revoke(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._homes.pop(partition.index, None)
            self._uncommitted.pop(partition, None)

    def assign(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            home = ProfilePartition(partition.index, self._profile, self._letters, self._config.folds_per_partition)
            home.restore(self._log)
            self._homes[partition.index] = home

    def apply(self, batch: Batch) -> None:
        duplicates = 0
        for partition, records in batch.records.items():
            home = self._homes[partition.index]
            duplicates += home.apply(records)
            self._uncommitted[partition] = records[-1].offset + 1
        if batch.records:
            self._gauge.read(VIEWER_EVENTS, len(batch))
        if duplicates:
            self._metrics.count("viewer_events_duplicate_total", duplicates)
        now_ms = self._clock.now_ms()
        if now_ms - self._measured_ms >= MEASURE_MS:
            self._measured_ms = now_ms
            self._measure()

    def publish(self, *, final: bool) -> Mapping[Partition, int] | None:
        if not self._uncommitted:
            return None
        now_ms = self._clock.now_ms()
        config = self._config
        self._gap_ms = config.busy_commit_every_ms if self._more_to_read() else config.commit_every_ms
        if not final and now_ms < self._committed_ms + self._gap_ms:
            return None
        profiles = sum(home.publish(self._sink) for home in self._homes.values())
        activities = sum(home.publish_activity(self._sink) for home in self._homes.values())
        self._metrics.count("records_written_total", profiles, topic=VIEWER_PROFILES)
        self._metrics.count("records_written_total", activities, topic=ROOM_ACTIVITY)
        positions, self._uncommitted = self._uncommitted, {}
        self._committed_ms = now_ms
        return positions

    def wait_s(self) -> float:
        if not self._uncommitted:
            return 0.2
        return max(0.0, (self._committed_ms + self._gap_ms - self._clock.now_ms()) / 1000)

    def _more_to_read(self) -> bool:
        return any(self._source.lag().values())

    def _measure(self) -> None:
        self._gauge.measure(self._source)
        profiles = sum(map(len, self._homes.values()))
        self._metrics.gauge("profiles_held", profiles, reader=GROUP)
        self._status = ProfileWorkerStatus(
            self._member,
            tuple(sorted(self._homes)),
            self._gauge.lag,
            self._gauge.contact_age_s,
            self._gauge.records_per_s,
            self._loop.restarts,
            profiles,
        )
