"""The tables of a replica: rooms and viewers, and the reader that keeps them current. Never writes to the log."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from actors.index.live_index import LiveIndex
from actors.rules.book import OperatorRules
from actors.settings import TablesConfig
from actors.state.key_partitions import KeyPartitions
from actors.state.room_table import RoomTable
from actors.state.viewer_table import ViewerTable
from streaming.clock import Clock
from streaming.errors import LogUnavailable, RecordError, TopicMissing
from streaming.events import ModelVersion, RoomId, RoomState, ViewerId
from streaming.log.codec import Decoder
from streaming.log.log import Batch, Log, Partition, Record, Source, TopicShape
from streaming.log.loop import IDLE_WAIT_S, LEAST_TURN_S
from streaming.log.topic_set import comparable
from streaming.log.topics import MODELS, ROOM_STATES, RULES, VIEWER_PROFILES
from streaming.metrics import Metrics
from streaming.operator_rule import OperatorRule
from streaming.room.vectors import with_numbers_only
from streaming.troubles import Trouble, Troubles
from streaming.viewer.presence import is_erased
from training.registry.catalog import CatalogEntry, VersionCatalog

__all__ = ["TableReader", "Tables", "TablesConfig"]

LOGGER = logging.getLogger(__name__)

READ = (ROOM_STATES, VIEWER_PROFILES, MODELS, RULES)
MOVING_S = 600.0  # workers move entries within half a minute of a growth; one may be away for a while
FIRST_WAIT_S = 0.1  # per poll while the tables are read: at the end of the log no record comes any more
GONE_MS = 60_000  # a lookup that was under way when a viewer was forgotten is over long before
MOST_GONE = 100_000
CHUNK = 16  # room states applied per turn with the lock: a request waits for one turn, some 0.3 ms, at most


class Tables:
    """A replica's rooms and viewers as of the records applied. One thread applies; any thread reads, holding `lock`."""

    def __init__(
        self,
        config: TablesConfig,
        index: LiveIndex,
        metrics: Metrics,
        clock: Clock,
        max_rooms: int = 262_144,
        *,
        rules: Mapping[str, OperatorRule] | None = None,
    ) -> None:
        """rules: operators' rules of the configuration, by name."""
        self.lock = threading.RLock()
        self.rooms = RoomTable(index, config, max_rooms)
        self.viewers = ViewerTable(config.profiles_mb << 20, Decoder(VIEWER_PROFILES))
        self.rules = OperatorRules(rules or {}, self._force_rules)
        self._decode_state = Decoder(ROOM_STATES)
        self._metrics = metrics
        self._clock = clock
        self._announced = VersionCatalog()
        self._rooms_from = KeyPartitions()
        self._viewers_from = KeyPartitions()
        self._gone: OrderedDict[ViewerId, int] = OrderedDict()  # viewers forgotten lately, and when
        # called under the lock for each viewer who is forgotten; whether because they were erased, or only silent
        self.on_forgotten: list[Callable[[ViewerId, bool], None]] = []
        self.on_profile: list[Callable[[ViewerId], None]] = []  # called under the lock for each new profile
        self.on_refused: Callable[[Record, RecordError], None] | None = None  # called for each rule that is none
        self.wanted: ModelVersion | None = None  # the version that the log announces as live; None for v0
        self.candidate: ModelVersion | None = None  # the newest version that waits to go live
        self.versions: Sequence[CatalogEntry] = self._announced.versions()  # all that the log announces, newest first
        self.announced_changed = threading.Event()
        self.current = False  # whether it has caught up: only then do ages of records measure the system

    def apply(self, batch: Batch) -> None:
        """Applies the records of a poll. A record that cannot be read is counted and skipped.

        Announcements of versions are only noted: `swap.py` acts on them.
        """
        # A room is in one partition, so the few records of each partition can share a turn.
        states = [record for p, records in batch.records.items() if p.topic == ROOM_STATES for record in records]
        for start in range(0, len(states), CHUNK):
            self._apply_rooms(states[start : start + CHUNK])
        for partition, records in batch.records.items():
            if partition.topic == VIEWER_PROFILES:
                self._apply_viewers(records)
            elif partition.topic == MODELS:
                self._apply_models(records)
            elif partition.topic == RULES:
                self._apply_rules(records)
        if batch.records:
            self._metrics.gauge("index_rooms", len(self.rooms))
            self._metrics.gauge("profiles_held", len(self.viewers), reader="replica")

    def forget(self, topic: str) -> None:
        """Forgets everything read from a topic, which begins anew."""
        with self.lock:
            if topic == ROOM_STATES:
                for room in [*self.rooms.snapshots, *self.rooms.ended]:
                    self.rooms.drop(room)
                self._rooms_from.clear()
            elif topic == VIEWER_PROFILES:
                self.viewers.clear()
                self._viewers_from.clear()
            elif topic == RULES:
                self.rules.clear()
                self.rules.turn(self._clock.now_ms())
        if topic == MODELS:
            self._announced = VersionCatalog()
            self._apply_models(())

    def watch_moves(self, topic: str, *, watched: bool) -> None:
        """Sets whether a key of the topic may lie in two partitions, as while the topic is read from its beginning."""
        if topic == VIEWER_PROFILES:
            self._viewers_from.watched = watched

    def hold(self, viewer: ViewerId, value: bytes) -> None:
        """Keeps a profile from elsewhere than the log, unless the log has brought one, or its end, meanwhile."""
        evicted = 0
        with self.lock:
            if self.viewers.raw(viewer) is None and not self.is_gone(viewer):
                evicted = self.viewers.put(viewer, value)
        if evicted:
            self._metrics.count("profiles_evicted_total", evicted)

    def is_gone(self, viewer: ViewerId) -> bool:
        """Whether the viewer was forgotten just now: what is still under way of them counts no more."""
        gone_ms = self._gone.get(viewer)
        return gone_ms is not None and self._clock.now_ms() - gone_ms < GONE_MS

    def shut(self, partition: int) -> None:
        """Drops the rooms of a partition of room-states that cannot be read: they may have ended."""
        with self.lock:
            for room in [RoomId(key) for key in self._rooms_from.lying_in(partition)]:
                if room in self.rooms.snapshots:
                    self._rooms_from.forget(room)
                    self.rooms.drop(room)

    def _apply_rooms(self, records: Sequence[Record]) -> None:
        decoded = [(record, self._decode(record)) for record in records]
        with self.lock:
            now_ms = self._clock.now_ms()
            fresh: dict[RoomId, RoomState] = {}
            for record, state in decoded:
                if state is None:
                    if record.value is None and record.key is not None:
                        room = RoomId(record.key.decode("utf-8", "replace"))
                        if self._rooms_from.remove(room, record):
                            fresh.pop(room, None)
                            self.rooms.drop(room)
                elif self._is_stale(fresh, state, record):
                    self._metrics.count("stale_states_total")
                elif state.status == "live":
                    fresh[state.room] = state
                else:
                    fresh.pop(state.room, None)
                    self.rooms.end(state)
            moved = self._moved(fresh.values())
            unplaced = self.rooms.show(list(fresh.values()), now_ms)
        self._observe(moved, now_ms)
        if unplaced:
            self._metrics.count("rooms_unplaced_total", unplaced)

    def _is_stale(self, fresh: Mapping[RoomId, RoomState], state: RoomState, record: Record) -> bool:
        """Whether a state is older than the one in the tables: one of its applied offsets lies behind.

        Where its inputs differ, because topics grew or were made anew, the log's order counts and not the offsets.
        """
        held = fresh.get(state.room) or self.rooms.held(state.room)
        if not self._rooms_from.put(state.room, record):
            return True
        return (
            held is not None
            and comparable(held, state)
            and self._rooms_from.is_as_before
            and (
                state.rooms_offset < held.rooms_offset
                or state.chat_offset < held.chat_offset
                or state.activity_offset < held.activity_offset
            )
        )

    def _apply_viewers(self, records: Sequence[Record]) -> None:
        evicted = 0
        with self.lock:
            for record in records:
                if record.key is None:
                    self._metrics.count("undecodable_total", topic=record.topic)
                    continue
                viewer = ViewerId(record.key.decode("utf-8", "replace"))
                if record.value is None:
                    if self._viewers_from.remove(viewer, record):
                        self._forget_viewer(viewer, was_erased=False)
                elif not self._viewers_from.put(viewer, record):
                    continue
                elif is_erased(record.key, record.value):
                    self._forget_viewer(viewer, was_erased=True)
                else:
                    evicted += self.viewers.put(viewer, record.value)
                    for call in self.on_profile:
                        call(viewer)
        if evicted:
            self._metrics.count("profiles_evicted_total", evicted)

    def _forget_viewer(self, viewer: ViewerId, *, was_erased: bool) -> None:
        """Forgets a viewer, here and wherever something is kept of them. The caller holds the lock."""
        self.viewers.drop(viewer)
        if not self.current:  # nobody was asked yet, so there is nothing else
            return
        self._gone[viewer] = self._clock.now_ms()
        self._gone.move_to_end(viewer)
        if len(self._gone) > MOST_GONE:
            self._gone.popitem(last=False)
        for forget in self.on_forgotten:
            forget(viewer, was_erased)

    def _apply_models(self, records: Sequence[Record]) -> None:
        for record in records:
            if not self._announced.apply(record.key, record.value):
                self._metrics.count("undecodable_total", topic=MODELS)
        self.wanted, self.candidate = self._announced.live, self._announced.candidate
        self.versions = self._announced.versions()
        self.announced_changed.set()

    def _apply_rules(self, records: Sequence[Record]) -> None:
        """Takes operators' rules; the next answer obeys them. One that cannot be read leaves the one before it."""
        with self.lock:
            for record in records:
                try:
                    self.rules.read(record)
                except RecordError as err:
                    self._metrics.count("undecodable_total", topic=RULES)
                    LOGGER.warning("replica: a rule at offset %d is not obeyed: %s", record.offset, err)
                    if self.on_refused is not None:
                        self.on_refused(record, err)
            self.rules.turn(self._clock.now_ms())

    def _force_rules(self, in_force: Mapping[str, OperatorRule]) -> None:
        self.rooms.ruled.force(in_force, self.rooms)
        self._metrics.gauge("operator_rules", sum(rule.enabled for rule in in_force.values()))

    def _decode(self, record: Record) -> RoomState | None:
        if record.value is None:
            return None
        try:
            state: RoomState = self._decode_state(record.value)
        except RecordError:
            self._metrics.count("undecodable_total", topic=record.topic)
            return None
        usable = with_numbers_only(state)
        if usable is not state:
            self._metrics.count("vectors_refused_total", reader="replica")
        return usable

    def _moved(self, states: Iterable[RoomState]) -> list[RoomState]:
        """The states whose last message is newer than that of the state in the tables, as its encoder read them."""
        if not self.current:
            return []
        snapshots = self.rooms.snapshots
        return [
            state
            for state in map(self.rooms.as_read, states)
            if state.appended_ms
            and ((held := snapshots.get(state.room)) is None or state.appended_ms > held.state.appended_ms)
        ]

    def _observe(self, states: Iterable[RoomState], now_ms: int) -> None:
        """Observes how long a message took to here, once per message that changed a vector."""
        for state in states:
            published_s = (state.published_ms - state.appended_ms) / 1000
            self._metrics.observe("freshness_seconds", published_s, stage="published")
            servable_s = (now_ms - state.published_ms) / 1000
            self._metrics.observe("freshness_seconds", servable_s, stage="servable")
            self._metrics.observe("freshness_seconds", published_s + servable_s, stage="total")


class TableReader:
    """Reads room states and profiles into the tables, from the beginning until it is stopped."""

    def __init__(self, log: Log, tables: Tables, metrics: Metrics) -> None:
        self._log = log
        self._tables = tables
        self._metrics = metrics
        self._source: Source | None = None
        self._shapes: dict[str, TopicShape] = {}
        self._positions: dict[Partition, int] = {}
        self._moving_until_s = 0.0  # until then keys may lie in two partitions
        self.anew_text = ""  # topics found made anew since the start, as a text for people
        self._lag: Mapping[str, int] = {}
        self._troubles = Troubles("replica", metrics)
        self.viewer_partitions = 0  # of viewer-profiles, once they are read

    @property
    def ready(self) -> bool:
        """Whether it has once read to the ends that it saw when it started."""
        return self._tables.current

    def lag(self) -> Mapping[str, int]:
        """Records between the tables and the end of each topic, as of the last fetch; empty before the first."""
        return self._lag

    def troubles(self) -> Sequence[Trouble]:
        """The troubles that keep it from reading some of its partitions."""
        return self._troubles.now

    @property
    def lost_text(self) -> str:
        """Offsets passed over since the start, as a text for people."""
        return self._troubles.lost_text

    def contact_age_s(self) -> float:
        """Seconds since a broker last answered; infinite before the first answer."""
        source = self._source
        return source.contact_age_s() if source is not None else float("inf")

    def run(self, stop: threading.Event) -> None:
        """Reads until `stop`. Without a broker it waits, and then goes on where it was.

        Topics that grow are read on with all their partitions; one that begins anew is forgotten and read again.
        """
        while not stop.is_set():
            opened = self._open(stop)
            if opened is None:
                return
            source, ends = opened
            self._source = source
            self.viewer_partitions = sum(partition.topic == VIEWER_PROFILES for partition in ends)
            self._tables.watch_moves(VIEWER_PROFILES, watched=self.viewer_partitions > 1)
            try:
                if not self._look_at(READ, stop):  # no topic changed before the source could notice it
                    self._read(stop, source, ends)
            finally:
                source.close()

    def _read(self, stop: threading.Event, source: Source, ends: Mapping[Partition, int]) -> None:
        """Reads until `stop`, until topics have another shape, or until unreadable room states can be read.

        Those are then read from their partition's start; before that none of its rooms is shown.
        """
        moving = True
        shut: set[int] = set()
        while not stop.is_set():
            started_s = time.monotonic()
            batch = source.poll(timeout_s=IDLE_WAIT_S if self._tables.current else FIRST_WAIT_S)
            if batch.reshaped:
                self._look_at(batch.reshaped, stop, lost=True)
                return
            self._tables.apply(batch)
            for partition, records in batch.records.items():
                self._positions[partition] = records[-1].offset + 1
            self._note_lag(source)
            self._troubles.passed_over(batch.skipped)
            unread = {Partition(one.topic, one.partition) for one in self._troubles.now if one.unreadable}
            now_shut = {partition.index for partition in unread if partition.topic == ROOM_STATES}
            for index in now_shut - shut:
                self._tables.shut(index)
            if opened := shut - now_shut:
                self._positions.update({Partition(ROOM_STATES, index): 0 for index in opened})
                return
            shut = now_shut
            if not self._tables.current:
                self._tables.current = self._caught_up(source, self._positions, ends, unread)
            elif moving and started_s > self._moving_until_s and self._caught_up(source, self._positions, ends, unread):
                moving = False
                self._tables.watch_moves(VIEWER_PROFILES, watched=False)
            if batch.records:
                stop.wait(LEAST_TURN_S - (time.monotonic() - started_s))

    def _look_at(self, topics: Sequence[str], stop: threading.Event, *, lost: bool = False) -> bool:
        """Forgets what was read of topics that begin anew; whether any do, or have grown.

        lost: whether a topic that looks as before has lost its records.
        """
        known = dict(self._shapes)
        if not self._take_shapes(stop):
            return True
        for topic in topics:
            before, now = known[topic], self._shapes[topic]
            if before == now and not lost:
                continue
            if before.made == now.made and now.partitions > before.partitions:
                self._moving_until_s = time.monotonic() + MOVING_S
                LOGGER.info("replica: topic %s has %d partitions now, not %d", topic, now.partitions, before.partitions)
                continue
            LOGGER.warning(
                "replica: topic %s was made anew, or its broker has lost it: what it said is forgotten", topic
            )
            self._metrics.count("topics_anew_total", reader="replica", topic=topic)
            seen = time.strftime("%H:%M:%S UTC", time.gmtime())
            self.anew_text = ", ".join(filter(None, (self.anew_text, f"{topic} since {seen}")))
            self._tables.forget(topic)
            self._positions = {p: offset for p, offset in self._positions.items() if p.topic != topic}
        return lost or known != self._shapes

    def _take_shapes(self, stop: threading.Event) -> bool:
        while not stop.is_set():
            try:
                self._shapes = dict(self._log.shapes(READ))
            except (LogUnavailable, TopicMissing) as err:
                if isinstance(err, TopicMissing) and not self._shapes:
                    raise
                stop.wait(0.5)  # missing later: it is being made anew
            else:
                return True
        return False

    def _open(self, stop: threading.Event) -> tuple[Source, Mapping[Partition, int]] | None:
        while not stop.is_set():
            if not self._shapes and not self._take_shapes(stop):
                return None
            try:
                partitions = [
                    Partition(topic, index) for topic in READ for index in range(self._shapes[topic].partitions)
                ]
                ends = self._log.ends(partitions)
                for partition in partitions:
                    self._positions.setdefault(partition, 0)
                if not any(self._positions.values()):
                    return self._log.reader(partitions), ends
                return self._log.reader(partitions, {one: self._positions[one] for one in partitions}), ends
            except (LogUnavailable, TopicMissing):
                stop.wait(0.5)
        return None

    def _note_lag(self, source: Source) -> None:
        lag: dict[str, int] = {}
        for partition, records in source.lag().items():
            lag[partition.topic] = lag.get(partition.topic, 0) + records
        for topic, records in lag.items():
            self._metrics.gauge("lag_records", records, reader="replica", topic=topic)
        self._lag = lag
        if (troubles := source.troubles()) or self._troubles.now:
            self._troubles.update(troubles)
        self._metrics.gauge("log_contact_age_seconds", source.contact_age_s(), reader="replica")

    @staticmethod
    def _caught_up(
        source: Source, positions: Mapping[Partition, int], ends: Mapping[Partition, int], unread: Set[Partition]
    ) -> bool:
        """Whether all up to `ends` is read. Where the last offsets are a transaction's markers, the lag shows it.

        A partition that cannot be read is not waited for: answers come from the others.
        """
        lag = source.lag()
        return all(positions[p] >= end or lag.get(p) == 0 or p in unread for p, end in ends.items())
