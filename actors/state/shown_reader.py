"""The reader of what other replicas have shown, into this replica's table of it. Never writes, never ends a replica.

It begins near the end of the topic: what was shown long before has hardly an effect any more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

import numpy as np

from actors.state.shown_table import Hashes, ShownTable
from actors.state.table_reader import Tables
from streaming.errors import RecordError, TidecastError
from streaming.events import ShownRooms, ViewerId
from streaming.log.codec import Decoder
from streaming.log.log import Batch, Log, Partition, Record
from streaming.log.loop import IDLE_WAIT_S, LEAST_TURN_S
from streaming.log.topics import SHOWN_ROOMS
from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

READ_BACK = 20_000  # records of a partition that a replica reads when it starts, some 5 MB
CHUNK = 64  # records applied per turn with the lock, some 0.5 ms
RETRY_S = 2.0  # after the log has failed, or while the topic is missing


class ShownReader:
    """Reads the topic shown-rooms. `run` is for one thread."""

    def __init__(self, log: Log, table: ShownTable, tables: Tables, metrics: Metrics, writer: str) -> None:
        """tables: whose lock is the table's too. writer: this replica, whose own records it has counted already."""
        self._log = log
        self._table = table
        self._tables = tables
        self._metrics = metrics
        self._writer = writer
        self._decode = Decoder(SHOWN_ROOMS)
        self._next: dict[Partition, int] = {}  # offsets: what is read twice would count twice
        self._said = ""  # the failure that was logged last

    def run(self, stop: threading.Event) -> None:
        """Reads until `stop`. Without a broker, or the topic, it waits; answers do without meanwhile."""
        while not stop.is_set():
            try:
                self._read(stop)
            except Exception as err:  # whatever it is, a replica that answers is not replaced for it
                if str(err) != self._said:
                    self._said = str(err)
                    LOGGER.warning("shown-rooms: %s", err, exc_info=not isinstance(err, TidecastError))
                stop.wait(RETRY_S)

    def _read(self, stop: threading.Event) -> None:
        """Reads until `stop`, or until the topic has another shape."""
        ends = self._log.ends(self._log.partitions(SHOWN_ROOMS))
        starts = {one: min(self._next.get(one, max(0, end - READ_BACK)), end) for one, end in ends.items()}
        source = self._log.reader(list(starts), starts)
        try:
            while not stop.is_set():
                began_s = time.monotonic()
                batch = source.poll(timeout_s=IDLE_WAIT_S)
                self.apply(batch)
                self._next.update({one: records[-1].offset + 1 for one, records in batch.records.items()})
                if batch.reshaped:
                    return
                if batch.records:
                    self._said = ""
                    self._metrics.gauge("shown_viewers", len(self._table))
                    stop.wait(LEAST_TURN_S - (time.monotonic() - began_s))
        finally:
            source.close()

    def apply(self, batch: Batch) -> None:
        """Applies the records of a poll. A record that cannot be read is counted and skipped."""
        records = [record for of_partition in batch.records.values() for record in of_partition]
        for start in range(0, len(records), CHUNK):
            self._apply(records[start : start + CHUNK])

    def _apply(self, records: Sequence[Record]) -> None:
        with self._tables.lock:
            for record in records:
                shown = self._decoded(record)
                if shown is None or record.key is None or shown.writer == self._writer:
                    continue
                viewer = ViewerId(record.key.decode("utf-8", "replace"))
                if self._tables.is_gone(viewer):
                    continue
                self._table.enter(viewer, _hashes(shown.entered))
                self._table.show(viewer, _hashes(shown.rooms), shown.at_ms)

    def _decoded(self, record: Record) -> ShownRooms | None:
        try:
            shown: ShownRooms | None = self._decode(record.value) if record.value is not None else None
        except RecordError:
            shown = None
        if shown is None or len(shown.rooms) % 8 or len(shown.entered) % 8:
            self._metrics.count("undecodable_total", topic=record.topic)
            return None
        return shown


def _hashes(packed: bytes) -> Hashes:
    """Hashes as in the table. A copy, because kernels take no frozen array."""
    return np.frombuffer(packed, "<i8").astype(np.int64)
