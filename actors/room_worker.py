"""Runs the rooms of its partitions: records in, texts to the encoder, room states out. Owns no fold's meaning."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from actors.encoding import EncoderClient, InFlight, InFlightConfig
from actors.room_partition import HeldRoom, RoomPartition, Tally
from actors.room_texts import Patience, RoomTexts
from actors.schedule import Schedule, ScheduleConfig
from actors.worker_status import Gauge, WorkerStatus
from streaming.clock import Clock
from streaming.dead_letter import DeadLetters
from streaming.errors import ConfigError
from streaming.log import Batch, Log, Partition, Sink, Source
from streaming.loop import Loop, Membership
from streaming.metrics import Metrics
from streaming.outcome import Outcome
from streaming.topics import CHAT, ROOM_ACTIVITY, ROOM_STATES, ROOMS
from streaming.window import WindowConfig

GROUP = "room-workers"
TOPICS = (ROOMS, CHAT, ROOM_ACTIVITY)
SWEEP_MS = 1_000
BEHIND_MS = 1_000
MAY_BE_ZERO = ("segment_patience_s", "short_after_s")
CAUGHT_UP_RECORDS = 5_000  # one poll's worth: so little lag hides no sign of life
METRIC_OF = {
    Outcome.LATE: "chat_late_total",
    Outcome.DUPLICATE: "chat_duplicates_total",
    Outcome.ORPHAN: "chat_orphaned_total",
    Outcome.AFTER_END: "chat_after_end_total",
}


@dataclass(frozen=True, slots=True)
class RoomWorkerConfig:
    """How often a RoomWorker publishes, and how long it keeps what is over."""

    room_timeout_s: int = 900  # without a sign of life for so long, a room is presumed ended
    keep_ended_s: int = 3_600  # then its state becomes a tombstone
    keep_orphan_s: int = 600  # what is said of a room that never starts
    max_orphans: int = 10_000  # per partition
    statistics_every_ms: int = 1_000  # per room, for states in which only counts changed
    statistics_per_s: int = 500  # of those states: past it, rooms take longer turns
    commit_every_ms: int = 25  # a transaction takes 8 ms
    behind_commit_every_ms: int = 100  # while chat waits for the encoder for over a second anyway
    busy_commit_every_ms: int = 1_000  # while there is more to read
    max_states_per_commit: int = 2_000
    segment_patience_s: int = 600  # a closed segment that waited so long is left out of the mean if a newer one waits
    short_after_s: int = 10  # chat that waited so long for an encoder that is behind is encoded as a short text first
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    in_flight: InFlightConfig = field(default_factory=InFlightConfig)

    def __post_init__(self) -> None:
        for each in fields(self):
            value, least = getattr(self, each.name), int(not each.name.endswith("_ms") and each.name not in MAY_BE_ZERO)
            if isinstance(value, int) and value < least:
                raise ConfigError(f"room_worker.{each.name} is {value}; it must be at least {least}")


@dataclass(frozen=True, slots=True)
class RoomWorkerStatus(WorkerStatus):
    """A RoomWorker about a second ago."""

    rooms_live: int = 0
    rooms_stale: int = 0
    encoder_backlog: int = 0
    texts_in_flight: int = 0
    texts_per_s: float = 0.0


class RoomWorker:
    """One member of the group `room-workers`. `run` is for one thread; `status` for any."""

    def __init__(
        self,
        log: Log,
        member: str,
        *,
        config: RoomWorkerConfig,
        window: WindowConfig,
        encoder: EncoderClient,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._log = log
        self._member = member
        self._config = config
        self._window = window
        self._encoder = encoder
        self._metrics = metrics
        self._clock = clock
        self._loop = Loop(log, Membership(GROUP, member, TOPICS), self, metrics, clock)
        self._status = RoomWorkerStatus(member)

    def run(self, stop: threading.Event) -> None:
        """Blocks until `stop`. Raises Fenced where another process has taken this member's place, TopicMissing."""
        self._loop.run(stop)

    def status(self) -> RoomWorkerStatus:
        """How it is doing."""
        return self._status

    # what the loop drives

    def begin(self, source: Source, sink: Sink) -> None:
        self._source, self._sink = source, sink
        self._letters = DeadLetters(sink, self._metrics)
        self._homes: dict[int, RoomPartition] = {}
        self._gauge = Gauge(GROUP, self._metrics, self._clock)
        self._texts = RoomTexts(
            Schedule(self._config.schedule),
            InFlight(self._encoder, self._config.in_flight, self._metrics, self._clock),
            Patience(self._config.segment_patience_s * 1_000, self._config.short_after_s * 1_000),
            self._metrics,
            self._clock,
        )
        self._urgent: dict[HeldRoom, None] = {}  # a vector or the lifecycle changed
        self._counted: dict[HeldRoom, int] = {}  # only counts changed: since
        self._positions: dict[Partition, int] = {}  # to be committed
        self._committed: dict[Partition, int] = {}
        self._buried = 0  # tombstones that are not committed
        self._committed_ms = self._swept_ms = self._behind_ms = self._clock.now_ms()
        self._allowed = 0.0  # states in which only counts changed that may be sent now
        self._busy = False  # there is more to read than one poll brings

    def revoke(self, partitions: Sequence[Partition]) -> None:
        for index in {partition.index for partition in partitions} & self._homes.keys():
            for held in self._homes.pop(index).rooms.values():
                self._release(held)
                held.gone = True
            for positions in (self._positions, self._committed):
                for topic in TOPICS:
                    positions.pop(Partition(topic, index), None)

    def assign(self, partitions: Sequence[Partition]) -> None:
        for index in {partition.index for partition in partitions} - self._homes.keys():
            home = RoomPartition(index, self._window, self._letters)
            home.restore(self._log)
            self._homes[index] = home
            now_ms = self._clock.now_ms()
            for held in home.rooms.values():
                self._texts.want(held, now_ms, 0)
        self._behind_ms = self._clock.now_ms()

    def apply(self, batch: Batch) -> None:
        tally = Tally()
        for (topic, index), records in batch.records.items():
            self._homes[index].apply(topic, records, tally)
        self._busy = bool(batch.records) and sum(self._source.lag().values()) > CAUGHT_UP_RECORDS
        if batch.records:
            self._take_touched(batch)
            self._count(tally)
        self._urgent.update(dict.fromkeys(self._texts.land()))
        self._urgent.update(dict.fromkeys(self._texts.submit()))
        now_ms = self._clock.now_ms()
        if now_ms - self._swept_ms >= SWEEP_MS:
            self._sweep(now_ms)

    def publish(self, *, final: bool) -> Mapping[Partition, int] | None:
        now_ms = self._clock.now_ms()
        if not final and now_ms < self._committed_ms + self._commit_gap_ms():
            return None
        sent = self._send_states(now_ms, everything=final)
        if final:
            self._collect_positions()
        if not (sent or self._positions or self._buried):
            return None
        positions, self._positions = self._positions, {}
        self._committed.update(positions)
        self._committed_ms, self._buried = now_ms, 0
        return positions

    def wait_s(self) -> float:
        longest_s = 0.1 if self._counted else 0.2
        if self._urgent:
            longest_s = max(0.0, (self._committed_ms + self._commit_gap_ms() - self._clock.now_ms()) / 1000)
        return self._texts.wait_s(longest_s)

    # the parts of a turn

    def _take_touched(self, batch: Batch) -> None:
        """Rooms with a new description are published at once, with new counts soon; all may want a vector."""
        now_ms = self._clock.now_ms()
        for home in self._homes.values():
            if not home.touched:
                continue
            records = batch.records.get(Partition(CHAT, home.index))
            since_ms = min(now_ms, records[0].timestamp) if records else now_ms
            for held, messages in home.touched.items():
                fold = held.fold
                if fold.unpublished_rooms_offset is not None:
                    self._urgent[held] = None
                elif fold.dirty:
                    self._counted.setdefault(held, now_ms)
                self._texts.want(held, since_ms, messages)
            home.touched.clear()

    def _send_states(self, now_ms: int, *, everything: bool) -> int:
        """Sends changed states: urgent ones, then those whose counts wait longest."""
        limit = len(self._urgent) + len(self._counted) if everything else self._config.max_states_per_commit
        urgent = list(self._urgent)[:limit]
        sent = self._send(urgent, "change", now_ms)
        before_ms = now_ms - (0 if everything else self._config.statistics_every_ms)
        per_s = self._config.statistics_per_s
        self._allowed = min(per_s, self._allowed + per_s * (now_ms - self._committed_ms) / 1000)
        allowed = limit if everything else min(limit - sent, int(self._allowed))
        due: list[HeldRoom] = []
        for held, since_ms in self._counted.items():
            if since_ms > before_ms or len(due) >= allowed:
                break
            due.append(held)
        self._allowed -= len(due)
        return sent + self._send(due, "counts", now_ms)

    def _send(self, rooms: Sequence[HeldRoom], cause: str, now_ms: int) -> int:
        sent = 0
        for held in rooms:
            self._urgent.pop(held, None)
            self._counted.pop(held, None)
            if not held.gone and held.fold.dirty:
                sent += self._homes[held.home].publish(held, self._sink, now_ms)
        if sent:
            self._metrics.count("states_published_total", sent, cause=cause)
            self._metrics.count("records_written_total", sent, topic=ROOM_STATES)
        return sent

    def _commit_gap_ms(self) -> int:
        if self._busy:
            return self._config.busy_commit_every_ms
        return (
            self._config.behind_commit_every_ms if self._texts.behind_ms > BEHIND_MS else self._config.commit_every_ms
        )

    def _count(self, tally: Tally) -> None:
        for topic, records in tally.applied.items():
            if records:
                self._gauge.read(topic, records)
        for outcome, name in METRIC_OF.items():
            if count := tally.outcomes[CHAT][outcome]:
                self._metrics.count(name, count)
        lifecycle = tally.outcomes[ROOMS]
        if count := lifecycle[Outcome.STALE] + lifecycle[Outcome.AFTER_END]:
            self._metrics.count("lifecycle_stale_total", count)
        if count := lifecycle[Outcome.REVIVED] + lifecycle[Outcome.RESTARTED]:
            self._metrics.count("rooms_revived_total", count)

    # once a second

    def _sweep(self, now_ms: int) -> None:
        self._swept_ms = now_ms
        self._gauge.measure(self._source)
        if self._gauge.contact_age_s > 5 or max(self._gauge.lag.values(), default=0) > CAUGHT_UP_RECORDS:
            self._behind_ms = now_ms
        live = sum(self._sweep_partition(home, now_ms) for home in self._homes.values())
        self._collect_positions()
        backlog = self._texts.backlog(now_ms)
        self._metrics.gauge("rooms_live", live, reader=GROUP)
        self._metrics.gauge("rooms_stale", backlog.stale)
        self._metrics.gauge("encoder_backlog", backlog.texts)
        self._status = RoomWorkerStatus(
            self._member,
            tuple(sorted(self._homes)),
            self._gauge.lag,
            self._gauge.contact_age_s,
            self._gauge.records_per_s,
            self._loop.restarts,
            live,
            backlog.stale,
            backlog.texts,
            self._texts.in_flight,
            self._texts.texts_per_s,
        )

    def _sweep_partition(self, home: RoomPartition, now_ms: int) -> int:
        """Closes what is idle, ends what is silent, buries what is over. Gives the number of live rooms."""
        config = self._config
        live = skipped = 0
        orphans: list[HeldRoom] = []
        may_presume = now_ms - self._behind_ms >= config.room_timeout_s * 1_000
        for held in list(home.rooms.values()):
            fold = held.fold
            silent_ms = now_ms - fold.alive_ms
            if home.head_ms > fold.due_ms:
                fold.close_idle(home.head_ms)
                skipped += fold.take_segments_skipped()
                self._texts.want(held, now_ms, 0)
                if fold.dirty:  # a segment that the mean does not want has closed
                    self._counted.setdefault(held, now_ms)
            if not fold.started:
                orphans.append(held)
            elif fold.status == "live":
                live += 1
                if may_presume and silent_ms > config.room_timeout_s * 1_000:
                    fold.presume_ended()
                    self._metrics.count("rooms_presumed_ended_total")
                    self._urgent[held] = None
            elif silent_ms > config.keep_ended_s * 1_000:
                home.bury(held, self._sink)
                self._release(held)
                self._buried += 1
        self._drop_orphans(home, orphans, now_ms)
        if skipped:
            self._metrics.count("segments_skipped_total", skipped)
        return live

    def _drop_orphans(self, home: RoomPartition, orphans: list[HeldRoom], now_ms: int) -> None:
        orphans.sort(key=lambda held: held.fold.alive_ms)
        surplus = len(orphans) - self._config.max_orphans
        for rank, held in enumerate(orphans):
            if rank < surplus or now_ms - held.fold.alive_ms > self._config.keep_orphan_s * 1_000:
                home.drop(held)
                self._release(held)

    def _release(self, held: HeldRoom) -> None:
        self._texts.forget(held)
        self._urgent.pop(held, None)
        self._counted.pop(held, None)

    def _collect_positions(self) -> None:
        """Costs a look at every room, so only once a second: what is committed meanwhile is older, which is safe."""
        for home in self._homes.values():
            for partition, offset in home.positions().items():
                if self._committed.get(partition) != offset:
                    self._positions[partition] = offset
