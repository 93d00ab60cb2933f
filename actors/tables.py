"""Owns what a replica knows: rooms and viewers, and the reader that keeps them current. Never writes to the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from actors.index import LiveIndex
from actors.room_table import RoomTable, TablesConfig
from actors.viewer_table import ViewerTable
from streaming.clock import Clock
from streaming.codec import Decoder
from streaming.errors import LogUnavailable, RecordError
from streaming.events import ModelVersion, RoomId, RoomState, ViewerId
from streaming.log import Batch, Log, Partition, Record, Source
from streaming.loop import LEAST_TURN_S
from streaming.metrics import Metrics
from streaming.topics import MODELS, ROOM_STATES, VIEWER_PROFILES
from training.announced import Announced

__all__ = ["TableReader", "Tables", "TablesConfig"]

CHUNK = 16  # room states applied per turn with the lock: a request waits for one turn, some 0.3 ms, at most


class Tables:
    """Rooms and viewers as of the records applied. One thread applies; any thread reads, holding `lock`."""

    def __init__(
        self, config: TablesConfig, index: LiveIndex, metrics: Metrics, clock: Clock, max_rooms: int = 262_144
    ) -> None:
        self.lock = threading.RLock()
        self.rooms = RoomTable(index, config, max_rooms)
        self.viewers = ViewerTable(config.profiles_mb << 20, Decoder(VIEWER_PROFILES))
        self._decode_state = Decoder(ROOM_STATES)
        self._metrics = metrics
        self._clock = clock
        self._announced = Announced()
        self.wanted: ModelVersion | None = None  # the version that the log says is live; None for v0
        self.candidate: ModelVersion | None = None  # the newest version that waits to go live
        self.announced_changed = threading.Event()
        self.current = False  # once caught up: only then does a record's age say something of the system

    def apply(self, batch: Batch) -> None:
        """Applies what a poll brought. A record that cannot be read is counted and skipped.

        What the log says of versions is only noted: `swap.py` sees to it.
        """
        # A room is in one partition. One turn for the few records that each brings costs what one partition's would.
        states = [record for p, records in batch.records.items() if p.topic == ROOM_STATES for record in records]
        for start in range(0, len(states), CHUNK):
            self._apply_rooms(states[start : start + CHUNK])
        for partition, records in batch.records.items():
            if partition.topic == VIEWER_PROFILES:
                self._apply_viewers(records)
            elif partition.topic == MODELS:
                self._apply_models(records)
        if batch.records:
            self._metrics.gauge("index_rooms", len(self.rooms))
            self._metrics.gauge("profiles_held", len(self.viewers), reader="replica")

    def hold(self, viewer: ViewerId, value: bytes) -> None:
        """Holds a profile that came another way than the log, unless the log has brought one meanwhile."""
        evicted = 0
        with self.lock:
            if self.viewers.raw(viewer) is None:
                evicted = self.viewers.put(viewer, value)
        if evicted:
            self._metrics.count("profiles_evicted_total", evicted)

    def _apply_rooms(self, records: Sequence[Record]) -> None:
        decoded = [(record, self._decode(record)) for record in records]
        with self.lock:
            now_ms = self._clock.now_ms()
            fresh: dict[RoomId, RoomState] = {}
            for record, state in decoded:
                if state is None:
                    if record.value is None and record.key is not None:
                        room = RoomId(record.key.decode("utf-8", "replace"))
                        fresh.pop(room, None)
                        self.rooms.drop(room)
                elif self._is_stale(fresh, state):
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

    def _is_stale(self, fresh: Mapping[RoomId, RoomState], state: RoomState) -> bool:
        """Whether a state comes from before the one held: an offset that it has applied lies behind."""
        held = fresh.get(state.room) or self.rooms.held(state.room)
        return held is not None and (
            state.rooms_offset < held.rooms_offset
            or state.chat_offset < held.chat_offset
            or state.activity_offset < held.activity_offset
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
                    self.viewers.drop(viewer)
                else:
                    evicted += self.viewers.put(viewer, record.value)
        if evicted:
            self._metrics.count("profiles_evicted_total", evicted)

    def _apply_models(self, records: Sequence[Record]) -> None:
        for record in records:
            if not self._announced.apply(record.key, record.value):
                self._metrics.count("undecodable_total", topic=MODELS)
        self.wanted, self.candidate = self._announced.live, self._announced.candidate
        self.announced_changed.set()

    def _decode(self, record: Record) -> RoomState | None:
        if record.value is None:
            return None
        try:
            state: RoomState = self._decode_state(record.value)
        except RecordError:
            self._metrics.count("undecodable_total", topic=record.topic)
            return None
        return state

    def _moved(self, states: Iterable[RoomState]) -> list[RoomState]:
        """Those whose last message is newer than that of the state held."""
        if not self.current:
            return []
        cards = self.rooms.cards
        return [
            state
            for state in states
            if state.appended_ms
            and ((held := cards.get(state.room)) is None or state.appended_ms > held.state.appended_ms)
        ]

    def _observe(self, states: Iterable[RoomState], now_ms: int) -> None:
        """How long a message took to here, once per message that moved a vector."""
        for state in states:
            published_s = (state.published_ms - state.appended_ms) / 1000
            self._metrics.observe("freshness_seconds", published_s, stage="published")
            servable_s = (now_ms - state.published_ms) / 1000
            self._metrics.observe("freshness_seconds", servable_s, stage="servable")
            self._metrics.observe("freshness_seconds", published_s + servable_s, stage="total")


class TableReader:
    """Reads room states and profiles into the tables, from the beginning, for as long as it is let."""

    def __init__(self, log: Log, tables: Tables, metrics: Metrics) -> None:
        self._log = log
        self._tables = tables
        self._metrics = metrics
        self._source: Source | None = None
        self._lag: Mapping[str, int] = {}
        self.viewer_partitions = 0  # of viewer-profiles, once they are read

    @property
    def ready(self) -> bool:
        """Whether it has once read to the ends that it saw when it started."""
        return self._tables.current

    def lag(self) -> Mapping[str, int]:
        """Records between the tables and the end of each topic as of the last fetch; empty before the first."""
        return self._lag

    def contact_age_s(self) -> float:
        """Seconds since a broker last answered; infinite before the first answer."""
        source = self._source
        return source.contact_age_s() if source is not None else float("inf")

    def run(self, stop: threading.Event) -> None:
        """Reads until told to stop. With no broker it waits, and goes on where it was when there is one again."""
        opened = self._open(stop)
        if opened is None:
            return
        source, ends = opened
        self._source = source
        self.viewer_partitions = sum(partition.topic == VIEWER_PROFILES for partition in ends)
        positions = dict.fromkeys(ends, 0)
        while not stop.is_set():
            started_s = time.monotonic()
            batch = source.poll(timeout_s=0.1)
            self._tables.apply(batch)
            self._note_lag(source)
            if not self._tables.current:
                for partition, records in batch.records.items():
                    positions[partition] = records[-1].offset + 1
                self._tables.current = self._caught_up(source, positions, ends)
            if batch.records:
                stop.wait(LEAST_TURN_S - (time.monotonic() - started_s))
        source.close()

    def _open(self, stop: threading.Event) -> tuple[Source, Mapping[Partition, int]] | None:
        while not stop.is_set():
            try:
                partitions = [
                    p for topic in (ROOM_STATES, VIEWER_PROFILES, MODELS) for p in self._log.partitions(topic)
                ]
                ends = self._log.ends(partitions)
                return self._log.reader(partitions), ends
            except LogUnavailable:
                stop.wait(0.5)
        return None

    def _note_lag(self, source: Source) -> None:
        lag: dict[str, int] = {}
        for partition, records in source.lag().items():
            lag[partition.topic] = lag.get(partition.topic, 0) + records
        for topic, records in lag.items():
            self._metrics.gauge("lag_records", records, reader="replica", topic=topic)
        self._lag = lag
        self._metrics.gauge("log_contact_age_seconds", source.contact_age_s(), reader="replica")

    @staticmethod
    def _caught_up(source: Source, positions: Mapping[Partition, int], ends: Mapping[Partition, int]) -> bool:
        """Where the last offsets are a transaction's markers, no record reaches the end: then the lag says so."""
        lag = source.lag()
        return all(positions[p] >= end or lag.get(p) == 0 for p, end in ends.items())
