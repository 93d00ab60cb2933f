"""The RoomWorker: records in, texts to the encoder, room states out. Never interprets a record itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from actors.rooms.encoder_client import PROBE_TEXT, EncoderClient, Question
from actors.rooms.partition import RoomEntry, RoomPartition, Tally
from actors.rooms.room_encoding import RoomEncoding
from actors.settings import RoomWorkerConfig
from actors.worker.status import Gauge, WorkerStatus
from actors.worker.take_over import reads_ahead
from actors.worker.topic_life import TopicLife
from actors.worker.unrestored import Unrestored
from streaming.clock import Clock
from streaming.errors import Unreadable
from streaming.events import Outcome
from streaming.log.dead_letter import DeadLetters
from streaming.log.log import Batch, LiveMember, Log, Partition, Sink, Source
from streaming.log.loop import IDLE_WAIT_S, GroupMember, Loop
from streaming.log.misplaced_records import Census, MisplacedRecords, strays
from streaming.log.position_note import Once
from streaming.log.restore import ReadAhead
from streaming.log.topic_set import made_of_inputs
from streaming.log.topics import CHAT, ROOM_ACTIVITY, ROOM_STATES, ROOMS
from streaming.metrics import Metrics
from streaming.room.window_config import WindowConfig
from streaming.troubles import Skipped, Troubles

GROUP = "room-workers"
TOPICS = (ROOMS, CHAT, ROOM_ACTIVITY)
SWEEP_MS = 1_000
BEHIND_MS = 1_000
CAUGHT_UP_RECORDS = 5_000  # one poll's worth: so little lag hides no sign of life
METRIC_OF = {
    Outcome.LATE: "chat_late_total",
    Outcome.DUPLICATE: "chat_duplicates_total",
    Outcome.ORPHAN: "chat_orphaned_total",
    Outcome.AFTER_END: "chat_after_end_total",
}


@dataclass(frozen=True, slots=True)
class RoomWorkerStatus(WorkerStatus):
    """The state of a RoomWorker about a second ago."""

    rooms_live: int = 0
    rooms_stale: int = 0
    encoder_backlog: int = 0
    texts_in_flight: int = 0
    texts_per_s: float = 0.0
    foreign: str = ""  # records that producers put where their keys do not belong, by topic, and what to set
    anew: str = ""  # topics that were found made anew since the start
    lost: str = ""  # offsets that were passed over since the start, the last of each partition
    encoder: str = ""  # version of the encoder in use
    next_encoder: str = ""  # of the one that takes its place
    read_by_next: float = 0.0  # share of the live rooms that it has read


class RoomWorker:
    """A member of the group `room-workers`. `run` is for one thread; `status` for any."""

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
        self._loop = Loop(log, GroupMember(GROUP, member, TOPICS, (ROOM_STATES,)), self, metrics, clock)
        self._troubles = Troubles(GROUP, metrics)
        self._life = TopicLife(GROUP, (*TOPICS, ROOM_STATES), ROOM_STATES, metrics)
        self._census = Census(self._life.partitions_of)
        self._status = RoomWorkerStatus(member)
        self._ahead = ReadAhead()
        self._probe = Question(encoder, [PROBE_TEXT], config.in_flight.timeout_s, clock)
        self._owned: dict[int, RoomPartition] = {}
        self._gauge = Gauge(GROUP, metrics, clock)

    def run(self, stop: threading.Event) -> None:
        """Works until `stop`; stands by while another process has this member's name. Blocks. Raises TopicMissing."""
        self._loop.run(stop)

    def rename(self, member: str) -> None:
        """Gives this worker another name in the group. Any thread may call it."""
        self._member = member
        self._loop.rename(member)

    def status(self) -> RoomWorkerStatus:
        """The worker's state, measured within the last second or so."""
        return self._status

    def unread(self) -> Mapping[int, int]:
        """Records that are not read yet, by partition, measured within the last second or so."""
        return self._gauge.unread

    # called by the loop

    def is_ready(self, other: LiveMember) -> bool:
        return self._probe.answer() is not None and reads_ahead(self._ahead, self._log, ROOM_STATES, other)

    def stand_by(self, other: LiveMember) -> None:
        self._owned = {}
        self._troubles.update([])
        self._gauge.clear()
        for name, labels in (("rooms_live", {"reader": GROUP}), ("rooms_stale", {}), ("encoder_backlog", {})):
            self._metrics.gauge(name, 0, **labels)
        self._status = RoomWorkerStatus(self._member, restarts=self._loop.restarts, standing_by=other.host)

    def begin(self, source: Source, sink: Sink) -> None:
        self._source, self._sink = source, sink
        self._misplaced = MisplacedRecords(sink, self._metrics, self._census)
        self._owned = {}
        self._unrestored = Unrestored(self._clock)
        self._life.begin(self._log, source, self._clock)
        self._gauge = Gauge(GROUP, self._metrics, self._clock)
        self._texts = RoomEncoding(self._encoder, self._rooms, self._config, self._metrics, self._clock)
        self._urgent: dict[RoomEntry, None] = {}  # rooms whose vector or lifecycle changed
        self._counted: dict[RoomEntry, int] = {}  # rooms in which only counts changed, and since when
        self._positions: dict[Partition, int] = {}  # to be committed next
        self._committed: dict[Partition, int] = {}
        self._buried = 0  # uncommitted tombstones
        self._committed_ms = self._swept_ms = self._behind_ms = self._clock.now_ms()
        self._allowed = 0.0  # number of states with only new counts that may be sent now
        self._busy = False  # there is more to read than one poll brings

    def revoke(self, partitions: Sequence[Partition]) -> None:
        for index in {partition.index for partition in partitions}:
            self._unrestored.drop(index)
        for index in {partition.index for partition in partitions} & self._owned.keys():
            for entry in self._owned.pop(index).rooms.values():
                self._release(entry)
                entry.gone = True
            for positions in (self._positions, self._committed):
                for topic in TOPICS:
                    positions.pop(Partition(topic, index), None)

    def assign(self, partitions: Sequence[Partition]) -> None:
        if not self._life.assign(partitions, anew=bool(self._owned)):
            return
        opened: list[int] = []
        for index in sorted({partition.index for partition in partitions} - self._owned.keys()):
            try:
                self._owned[index] = self._opened(index)
                opened.append(index)
            except Unreadable as err:
                self._unrestored.add(index, err.trouble)
        self._ahead.drop()
        self._behind_ms = now_ms = self._clock.now_ms()
        self._texts.restore()
        for index in opened:
            for entry in self._owned[index].rooms.values():
                self._texts.want(entry, now_ms, 0)

    def _opened(self, index: int) -> RoomPartition:
        life, once = self._life, Once(self._life.read_before(index))
        owned = RoomPartition(
            index,
            self._window,
            DeadLetters(self._sink, self._metrics, once=once),
            once=once,
            foreign=self._misplaced,
            partitions=life.partitions,
            inputs=made_of_inputs(life.shapes, index),
        )
        if index < life.partitions:
            owned.restore(self._log, life.ends, self._ahead)
            for topic in owned.anew:
                life.found_anew(topic)
            if life.has_grown(index):
                self._take_in(owned)
        if owned.vectors_refused:
            self._metrics.count("vectors_refused_total", owned.vectors_refused, reader=GROUP)
        self._publish_soon(owned)
        return owned

    def _rooms(self) -> Iterator[RoomEntry]:
        return (entry for owned in self._owned.values() for entry in owned.rooms.values())

    def _take_in(self, owned: RoomPartition) -> bool:
        """Takes in rooms whose keys belonged to other partitions before topics grew, from where they are published.

        False: not all are readable. Raises LogUnavailable.
        """
        now_ms = self._clock.now_ms()
        try:
            for stray in strays(self._log, ROOM_STATES, owned.index, self._life.partitions):
                if owned.adopt(stray.key, stray.value, now_ms, self._sink):
                    self._metrics.count("rooms_moved_total")
                self._sink.send(ROOM_STATES, stray.key, None, stray.partition)
                self._buried += 1
        except Unreadable as err:
            self._life.postpone(owned.index, err)
            return False
        finally:
            self._publish_soon(owned)
        return True

    def _publish_soon(self, owned: RoomPartition) -> None:
        """Queues rooms that changed without a record."""
        now_ms = self._clock.now_ms()
        for entry in owned.touched:
            self._counted.setdefault(entry, now_ms)
        owned.touched.clear()

    def apply(self, batch: Batch) -> None:
        tally = Tally()
        for (topic, index), records in batch.records.items():
            owned = self._owned.get(index)
            if owned is not None:  # else its state is not readable, or it will be assigned once more
                owned.apply(topic, records, tally)
        if batch.skipped:
            self._pass_over(batch.skipped)
        self._busy = bool(batch.records) and sum(self._source.lag().values()) > CAUGHT_UP_RECORDS
        if batch.records:
            self._take_touched(batch)
            self._count(tally)
        self._urgent.update(dict.fromkeys(self._texts.take_completed()))
        now_ms = self._clock.now_ms()
        second = self._texts.take_second()
        if self._texts.exchange.is_settling:  # answers may use its vectors
            self._urgent.update(dict.fromkeys(second))
        else:
            self._counted.update((entry, now_ms) for entry in second if entry not in self._counted)
        self._urgent.update(dict.fromkeys(self._texts.submit()))
        if now_ms - self._swept_ms >= SWEEP_MS:
            self._sweep(now_ms)

    def _pass_over(self, skipped: Sequence[Skipped]) -> None:
        self._troubles.passed_over(self._life.unread(skipped))
        for one in skipped:
            if one.partition in self._owned:
                self._owned[one.partition].pass_over(one)

    def publish(self, *, final: bool) -> Mapping[Partition, int] | None:
        now_ms = self._clock.now_ms()
        if not final and now_ms < self._committed_ms + self._commit_gap_ms():
            return None
        sent = self._send_states(now_ms, everything=final)
        if final:
            self._collect_positions()
        self._add_set_aside()
        if not (sent or self._positions or self._buried):
            return None
        positions, self._positions = self._positions, {}
        self._committed.update(positions)
        self._committed_ms, self._buried = now_ms, 0
        for partition in positions:
            self._life.note(partition, self._owned[partition.index].next_offset[partition.topic])
        return positions

    def _add_set_aside(self) -> None:
        """Adds positions where records were refused or forwarded, so that this happens once."""
        for owned in self._owned.values():
            for topic in owned.once.pending:
                partition = Partition(topic, owned.index)
                self._positions.setdefault(partition, self._committed.get(partition, owned.first_offset[topic]))
            owned.once.pending.clear()

    def wait_s(self) -> float:
        longest_s = 0.1 if self._counted else IDLE_WAIT_S
        if self._urgent or self._buried or any(owned.once.pending for owned in self._owned.values()):
            longest_s = max(0.0, (self._committed_ms + self._commit_gap_ms() - self._clock.now_ms()) / 1000)
        return self._texts.wait_s(longest_s)

    # the parts of a turn

    def _take_touched(self, batch: Batch) -> None:
        """Queues changed rooms: a new description is published at once, new counts soon; all may want a vector."""
        now_ms = self._clock.now_ms()
        for owned in self._owned.values():
            if not owned.touched:
                continue
            records = batch.records.get(Partition(CHAT, owned.index))
            since_ms = min(now_ms, records[0].timestamp) if records else now_ms
            for entry, messages in owned.touched.items():
                aggregate = entry.aggregate
                if aggregate.unpublished_rooms_offset is not None:
                    self._urgent[entry] = None
                elif aggregate.dirty:
                    self._counted.setdefault(entry, now_ms)
                self._texts.want(entry, since_ms, messages)
            owned.touched.clear()

    def _send_states(self, now_ms: int, *, everything: bool) -> int:
        """Sends changed states: urgent ones, then those whose counts wait longest. Returns their number."""
        limit = len(self._urgent) + len(self._counted) if everything else self._config.max_states_per_commit
        urgent = list(self._urgent)[:limit]
        sent = self._send(urgent, "change", now_ms)
        before_ms = now_ms - (0 if everything else self._config.statistics_every_ms)
        per_s = self._config.statistics_per_s
        self._allowed = min(per_s, self._allowed + per_s * (now_ms - self._committed_ms) / 1000)
        allowed = limit if everything else min(limit - sent, int(self._allowed))
        due: list[RoomEntry] = []
        for entry, since_ms in self._counted.items():
            if since_ms > before_ms or len(due) >= allowed:
                break
            due.append(entry)
        self._allowed -= len(due)
        return sent + self._send(due, "counts", now_ms)

    def _send(self, rooms: Sequence[RoomEntry], cause: str, now_ms: int) -> int:
        sent = 0
        for entry in rooms:
            self._urgent.pop(entry, None)
            self._counted.pop(entry, None)
            if not entry.gone and entry.aggregate.dirty:
                sent += self._owned[entry.partition].publish(entry, self._sink, now_ms)
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
        if tally.ends_ahead:
            self._metrics.count("records_mended_total", tally.ends_ahead, topic=ROOMS, reason="end_time")
        lifecycle = tally.outcomes[ROOMS]
        if count := lifecycle[Outcome.STALE] + lifecycle[Outcome.AFTER_END]:
            self._metrics.count("lifecycle_stale_total", count)
        if count := lifecycle[Outcome.REVIVED] + lifecycle[Outcome.RESTARTED]:
            self._metrics.count("rooms_revived_total", count)

    # once a second

    def _sweep(self, now_ms: int) -> None:
        self._swept_ms = now_ms
        self._gauge.measure(self._source)
        self._troubles.update([*self._source.troubles(), *self._unrestored.troubles, *self._life.troubles()])
        self._census.say()
        self._unrestored.retry(self._log, ROOM_STATES)
        self._life.settle(self._looked_at)
        if self._gauge.contact_age_s > 5 or max(self._gauge.lag.values(), default=0) > CAUGHT_UP_RECORDS:
            self._behind_ms = now_ms
        live = sum(self._sweep_partition(owned, now_ms) for owned in self._owned.values())
        self._collect_positions()
        for entry in self._texts.measure():
            self._counted.setdefault(entry, now_ms)
        backlog, exchange = self._texts.backlog(now_ms), self._texts.exchange
        self._metrics.gauge("rooms_live", live, reader=GROUP)
        self._metrics.gauge("rooms_stale", backlog.stale)
        self._metrics.gauge("encoder_backlog", backlog.texts)
        self._status = RoomWorkerStatus(
            self._member,
            tuple(sorted(self._owned)),
            self._gauge.lag,
            self._gauge.contact_age_s,
            self._gauge.records_per_s,
            self._loop.restarts,
            self._troubles.now,
            "",
            live,
            backlog.stale,
            backlog.texts,
            self._texts.in_flight,
            self._texts.texts_per_s,
            self._census.text,
            self._life.anew_text,
            self._troubles.lost_text,
            exchange.in_use,
            exchange.coming,
            round(exchange.share_read, 3),
        )

    def _looked_at(self, index: int) -> bool:
        return index not in self._owned or self._take_in(self._owned[index])

    def _sweep_partition(self, owned: RoomPartition, now_ms: int) -> int:
        """Closes idle segments, ends silent rooms, buries those that are over. Returns the number of live rooms."""
        config = self._config
        live = skipped = 0
        orphans: list[RoomEntry] = []
        timeout_ms = 1_000 * config.room_timeout_s
        stopped = any(trouble.partition == owned.index for trouble in self._troubles.now)  # signs of life are unread
        may_presume = not stopped and timeout_ms > 0 and now_ms - self._behind_ms >= timeout_ms
        keep_ms = {"ended": 1_000 * config.keep_ended_s, "presumed_ended": 1_000 * config.keep_presumed_s}
        for entry in list(owned.rooms.values()):
            aggregate = entry.aggregate
            silent_ms = now_ms - aggregate.alive_ms
            if owned.head_ms > aggregate.due_ms:
                aggregate.close_idle(owned.head_ms)
                skipped += aggregate.take_segments_skipped()
                self._texts.want(entry, now_ms, 0)
                if aggregate.dirty:  # a closed segment that the mean does not want
                    self._counted.setdefault(entry, now_ms)
            if not aggregate.started:
                orphans.append(entry)
            elif aggregate.status == "live":
                live += 1
                if may_presume and silent_ms > timeout_ms:
                    aggregate.presume_ended()
                    self._metrics.count("rooms_presumed_ended_total")
                    self._urgent[entry] = None
            elif silent_ms > keep_ms[aggregate.status]:
                owned.bury(entry, self._sink)
                self._release(entry)
                self._buried += 1
        self._drop_orphans(owned, orphans, now_ms)
        if skipped:
            self._metrics.count("segments_skipped_total", skipped)
        return live

    def _drop_orphans(self, owned: RoomPartition, orphans: list[RoomEntry], now_ms: int) -> None:
        orphans.sort(key=lambda entry: entry.aggregate.alive_ms)
        surplus = len(orphans) - self._config.max_orphans
        for rank, entry in enumerate(orphans):
            if rank < surplus or now_ms - entry.aggregate.alive_ms > self._config.keep_orphan_s * 1_000:
                owned.drop(entry)
                self._release(entry)

    def _release(self, entry: RoomEntry) -> None:
        self._texts.forget(entry)
        self._urgent.pop(entry, None)
        self._counted.pop(entry, None)

    def _collect_positions(self) -> None:
        """Collects positions. It looks at every room, so only once a second: older ones meanwhile are safe."""
        for owned in self._owned.values():
            for partition, offset in owned.positions().items():
                read = owned.next_offset[partition.topic]
                if self._committed.get(partition) != offset or self._life.read(partition) != read:
                    self._positions[partition] = offset
