"""The ProfileWorker: events in, profiles and activity out, exactly once. Never interprets an event itself."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.profiles.map_maker import MapMaker
from actors.profiles.partition import ProfilePartition
from actors.profiles.profile_map import ProfileMap
from actors.settings import ProfileWorkerConfig
from actors.worker.status import Gauge, WorkerStatus
from actors.worker.take_over import reads_ahead
from actors.worker.topic_life import TopicLife
from actors.worker.unrestored import Unrestored
from streaming.clock import Clock
from streaming.errors import LogUnavailable, StoreDamaged, Unreadable
from streaming.event_clock import RECORDED_EVENTS, EventClock
from streaming.events import ViewerId
from streaming.log.dead_letter import DeadLetters
from streaming.log.log import Batch, LiveMember, Log, Partition, Sink, Source
from streaming.log.loop import IDLE_WAIT_S, GroupMember, Loop
from streaming.log.misplaced_records import Census, MisplacedRecords, strays
from streaming.log.partitioner import partition_of
from streaming.log.position_note import Once
from streaming.log.restore import AnyReadAhead, Restored
from streaming.log.topic_set import partitions_in_force
from streaming.log.topics import ROOM_ACTIVITY, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.metrics import Metrics
from streaming.troubles import Troubles
from streaming.viewer.profile_config import ProfileConfig

GROUP = "profile-workers"
MEASURE_MS = 1_000
LAPSES = 5_000  # per partition at a time: a check takes a microsecond, a leave as long as an event
EXPIRED = 500  # per partition at a time: a tombstone takes as long as a profile, and replicas read it too
LOOKED_AT = 2_000  # per partition at a time, some 5 ms: a million profiles take eight minutes
AWAY_S = 5.0  # without a broker's answer for so long, producers cannot be heard either
WRITE_S = 0.01  # per turn, for what a mark needs: a few hundred profiles
SETTLE_MS = 60_000  # after that: the records that they held back are on their way


@dataclass(frozen=True, slots=True)
class ProfileWorkerStatus(WorkerStatus):
    """The state of a ProfileWorker about a second ago."""

    profiles: int = 0
    foreign: str = ""  # records that producers put where their keys do not belong, and what to set
    anew: str = ""  # topics that were found made anew since the start
    lost: str = ""  # offsets that were passed over since the start, the last of each partition


class ProfileWorker:
    """A member of the group `profile-workers`. `run` is for one thread; `status` and `profile` for any."""

    def __init__(
        self,
        log: Log,
        member: str,
        *,
        config: ProfileWorkerConfig,
        profile: ProfileConfig,
        metrics: Metrics,
        clock: Clock,
        folder: Path | None = None,
    ) -> None:
        """folder: for the files of profiles that do not fit into memory; None: they stay in memory."""
        self._log = log
        self._member = member
        self._config = config
        self._profile = profile
        self._metrics = metrics
        self._clock = clock
        self._loop = Loop(log, GroupMember(GROUP, member, (VIEWER_EVENTS,), (VIEWER_PROFILES,)), self, metrics, clock)
        self._owned: dict[int, ProfilePartition] = {}
        self._troubles = Troubles(GROUP, metrics)
        self._life = TopicLife(GROUP, (VIEWER_EVENTS, VIEWER_PROFILES), VIEWER_PROFILES, metrics)
        self._census = Census(self._life.partitions_of)
        self._status = ProfileWorkerStatus(member)
        self._maps = MapMaker(config, metrics, clock, folder)
        self._unconfirmed = False  # whether a commit may be under way
        self._ahead = AnyReadAhead(self._maps.make, lambda profiles: profiles.close(keep=False))
        self._gauge = Gauge(GROUP, metrics, clock)

    def run(self, stop: threading.Event) -> None:
        """Works until `stop`; stands by while another process has this member's name. Blocks. Raises TopicMissing."""
        try:
            self._loop.run(stop)
        finally:
            if self._loop.is_settled:
                self._confirm()
            self._close(keep=True)

    def rename(self, member: str) -> None:
        """Gives this worker another name in the group. Any thread may call it."""
        self._member = member
        self._loop.rename(member)

    def status(self) -> ProfileWorkerStatus:
        """The worker's state, measured within the last second or so."""
        return self._status

    def unread(self) -> Mapping[int, int]:
        """Records that are not read yet, by partition, measured within the last second or so."""
        return self._gauge.unread

    def profile(self, viewer: ViewerId) -> bytes | None:
        """A viewer's profile as published, MessagePack; None for an unknown viewer or another worker's partition.

        It may be read from disk, which takes some tens of microseconds.
        """
        key = viewer.encode()
        for index, owned in list(self._owned.items()):
            if partition_of(key, self._life.partitions) == index:
                with contextlib.suppress(StoreDamaged):  # the loop begins anew with its next turn
                    return owned.profile(viewer)
        return None

    # called by the loop

    def is_ready(self, other: LiveMember) -> bool:
        self._maps.share(len({partition.index for partition in other.partitions}))
        self._maps.partitions = partitions_in_force(self._log.shapes((VIEWER_EVENTS, VIEWER_PROFILES)))
        return reads_ahead(self._ahead, self._log, VIEWER_PROFILES, other)

    def stand_by(self, other: LiveMember) -> None:
        self._close(keep=False)
        self._troubles.update([])
        self._gauge.clear()
        self._maps.measure([])
        self._status = ProfileWorkerStatus(self._member, restarts=self._loop.restarts, standing_by=other.host)

    def begin(self, source: Source, sink: Sink) -> None:
        self._source, self._sink = source, sink
        self._misplaced = MisplacedRecords(sink, self._metrics, self._census)
        self._close(keep=True)
        self._unconfirmed = False
        self._unrestored = Unrestored(self._clock)
        self._moved = False  # something was sent for which no position is committed
        self._life.begin(self._log, source, self._clock)
        self._gauge = Gauge(GROUP, self._metrics, self._clock)
        self._uncommitted: dict[Partition, int] = {}
        self._measured_ms = self._clock.now_ms()
        self._away_ms = self._measured_ms if self._loop.restarts else -SETTLE_MS  # sessions end when the log is away
        self._lapsed = 0  # viewers who lapsed, and profiles that expired, since the last commit
        self._erased = 0
        self._event_clock = EventClock(RECORDED_EVENTS)
        self._committed_ms = self._gap_ms = 0

    def revoke(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._unrestored.drop(partition.index)
            owned = self._owned.pop(partition.index, None)
            if owned is not None:
                owned.profiles.close(keep=False)
            self._uncommitted.pop(partition, None)
        self._share()

    def assign(self, partitions: Sequence[Partition]) -> None:
        if not self._life.assign(partitions, anew=bool(self._owned)):
            return
        self._confirm()  # the loop has waited for the last commit
        self._maps.partitions = self._life.partitions
        indices = sorted({partition.index for partition in partitions})
        self._share(len(self._owned.keys() | set(indices)))
        with self._rebuilding():
            for index in indices:
                try:
                    self._owned[index] = self._opened(index)
                except Unreadable as err:
                    self._unrestored.add(index, err.trouble)
        self._ahead.drop()
        self._share()

    def _opened(self, index: int) -> ProfilePartition:
        life, once = self._life, Once(self._life.read_before(index))
        found = self._found(index)
        owned = ProfilePartition(
            index,
            self._profile,
            DeadLetters(self._sink, self._metrics, once=once),
            self._config.aggregates_per_partition,
            found.values,
            clock=self._event_clock,
            once=once,
            foreign=self._misplaced,
            partitions=life.partitions,
        )
        if index < life.partitions:
            try:
                owned.restore(self._log, found)
            except BaseException:
                found.values.close(keep=True)
                raise
            found.values.drop_others()
            if life.has_grown(index):
                self._take_in(owned)
        return owned

    def _found(self, index: int) -> Restored[ProfileMap]:
        """The profiles of a partition that were read before, in this process or in one that ended."""
        there = Partition(VIEWER_PROFILES, index)
        if index >= self._life.partitions:
            return self._maps.in_memory(index)
        found = self._ahead.take(self._log, there)
        if found.values.partitions == self._life.partitions:
            return found
        found.values.close(keep=False)  # keys were divided otherwise while it was read ahead
        return self._ahead.take(self._log, there)

    def _share(self, partitions: int = 0) -> None:
        """Divides memory and disk among so many partitions, by default those that it has."""
        self._maps.share(partitions or len(self._owned), [owned.profiles for owned in self._owned.values()])

    def _close(self, *, keep: bool) -> None:
        """Ends with all partitions. keep: leaves their files for the next session or process."""
        for owned in self._owned.values():
            owned.profiles.close(keep=keep)
        self._owned = {}

    @contextlib.contextmanager
    def _rebuilding(self) -> Iterator[None]:
        """Begins a new session where a file is damaged: without it, from the log. Raises LogUnavailable then."""
        try:
            yield
        except StoreDamaged as err:
            self._maps.count_damage(err)
            for owned in self._owned.values():
                owned.profiles.close(keep=True)
            raise LogUnavailable(f"{err}; begins where the log has it") from err

    def _confirm(self) -> None:
        """Notes that all that was published is committed."""
        for owned in self._owned.values():
            owned.profiles.confirm()
        self._unconfirmed = False

    def _tidy(self) -> None:
        """Brings the files up to what is committed, where that is all."""
        if self._unconfirmed:
            if not self._loop.is_committed:
                return
            self._confirm()
        until_s = time.monotonic() + WRITE_S
        for owned in self._owned.values():
            owned.profiles.tidy(until_s)

    def _begin_marks(self, *, final: bool) -> None:
        """Notes how far the log goes that will be in the files, where some should say so again."""
        every_ms = 0 if final else 1_000 * self._config.mark_every_s
        due = [index for index, owned in self._owned.items() if owned.profiles.wants_mark(every_ms)]
        if not due or not self._uncommitted:  # only a commit of positions shows that partitions are still this worker's
            return
        with contextlib.suppress(LogUnavailable):  # the commit will say so
            ends = self._log.ends([Partition(VIEWER_PROFILES, index) for index in due])
            for partition, end in ends.items():
                self._owned[partition.index].profiles.begin_mark(end)

    def _take_in(self, owned: ProfilePartition) -> bool:
        """Takes in profiles whose keys belonged to other partitions before topics grew; False: not all are readable.

        Raises LogUnavailable.
        """
        try:
            for stray in strays(self._log, VIEWER_PROFILES, owned.index, self._life.partitions):
                owned.adopt(stray.key, stray.value, self._sink)
                self._sink.send(VIEWER_PROFILES, stray.key, None, stray.partition)
                self._moved = True
        except Unreadable as err:
            self._life.postpone(owned.index, err)
            return False
        return True

    def _looked_at(self, index: int) -> bool:
        return index not in self._owned or self._take_in(self._owned[index])

    def apply(self, batch: Batch) -> None:
        with self._rebuilding():
            self._apply(batch)

    def _apply(self, batch: Batch) -> None:
        duplicates = 0
        for partition, records in batch.records.items():
            owned = self._owned.get(partition.index)
            if owned is None:  # its state is not readable, or it will be assigned once more
                continue
            erased = owned.erased
            duplicates += owned.apply(records)
            self._erased += owned.erased - erased
            self._uncommitted[partition] = records[-1].offset + 1
        self._troubles.passed_over(self._life.unread(batch.skipped))
        for skipped in batch.skipped:
            partition = Partition(skipped.topic, skipped.partition)
            if partition.index in self._owned:
                self._owned[partition.index].pass_over(skipped)
                self._uncommitted[partition] = max(self._uncommitted.get(partition, 0), skipped.last + 1)
        if batch.records:
            self._gauge.read(VIEWER_EVENTS, len(batch))
        if self._erased:
            self._metrics.count("viewers_erased_total", self._erased)
            self._erased = 0
        if duplicates:
            self._metrics.count("viewer_events_duplicate_total", duplicates)
        now_ms = self._clock.now_ms()
        if now_ms - self._measured_ms >= MEASURE_MS:
            self._measured_ms = now_ms
            self._tidy()
            self._measure()
            self._lapse(now_ms)

    def publish(self, *, final: bool) -> Mapping[Partition, int] | None:
        if not (self._uncommitted or self._lapsed or self._moved):
            return None
        now_ms = self._clock.now_ms()
        config = self._config
        self._gap_ms = config.busy_commit_every_ms if self._more_to_read() else config.commit_every_ms
        if not final and now_ms < self._committed_ms + self._gap_ms:
            return None
        with self._rebuilding():
            if self._unconfirmed:
                self._sink.flush()  # waits for the last commit, as sending anything more would
                self._confirm()
            self._tidy()
            self._begin_marks(final=final)
            profiles = sum(owned.publish(self._sink) for owned in self._owned.values())
        activities = sum(owned.publish_activity(self._sink) for owned in self._owned.values())
        self._metrics.count("records_written_total", profiles, topic=VIEWER_PROFILES)
        self._metrics.count("records_written_total", activities, topic=ROOM_ACTIVITY)
        positions, self._uncommitted = self._uncommitted, {}
        self._committed_ms, self._lapsed, self._moved = now_ms, 0, False
        self._unconfirmed = True
        for partition, offset in positions.items():
            self._life.note(partition, offset)
        return positions

    def wait_s(self) -> float:
        if not (self._uncommitted or self._lapsed or self._moved):
            return IDLE_WAIT_S
        return max(0.0, (self._committed_ms + self._gap_ms - self._clock.now_ms()) / 1000)

    def _lapse(self, now_ms: int) -> None:
        """Makes viewers leave who were silent for too long, and ends profiles: by time alone, without an event.

        Records on the log that are not read yet count first, and so do those that producers could not write.
        """
        if self._gauge.contact_age_s > AWAY_S:
            self._away_ms = now_ms
        if now_ms - self._away_ms < SETTLE_MS:
            return
        unread = self._source.lag()
        lapsed = expired = 0
        for index, owned in self._owned.items():
            is_read = unread.get(Partition(VIEWER_EVENTS, index)) == 0
            until_ms = now_ms if is_read else owned.read_ms
            lapsed += owned.lapse(until_ms, LAPSES)
            expired += owned.expire(until_ms, EXPIRED, LOOKED_AT)
        self._lapsed += lapsed + expired
        if lapsed:
            self._metrics.count("presence_timeouts_total", lapsed)
        if expired:
            self._metrics.count("profiles_expired_total", expired)

    def _more_to_read(self) -> bool:
        return any(self._source.lag().values())

    def _measure(self) -> None:
        self._gauge.measure(self._source)
        self._troubles.update([*self._source.troubles(), *self._unrestored.troubles, *self._life.troubles()])
        self._census.say()
        self._unrestored.retry(self._log, VIEWER_PROFILES)
        self._life.settle(self._looked_at)
        profiles = self._maps.measure([owned.profiles for owned in self._owned.values()])
        self._status = ProfileWorkerStatus(
            self._member,
            tuple(sorted(self._owned)),
            self._gauge.lag,
            self._gauge.contact_age_s,
            self._gauge.records_per_s,
            self._loop.restarts,
            self._troubles.now,
            "",
            profiles,
            self._census.text,
            self._life.anew_text,
            self._troubles.lost_text,
        )
