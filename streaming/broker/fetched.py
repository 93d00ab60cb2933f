"""Unpacks the answers to a KafkaConsumer's fetches. Never fetches, never moves a position by itself."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kafka.consumer.fetcher import Fetcher, IsolationLevel
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from streaming.broker.batches import BadBatch, FetchedBatches
from streaming.record_format.compression import BrokenPayload, CodecMissing, unpack
from streaming.record_format.legacy_records import unpack_legacy
from streaming.record_format.record_unpacker import BrokenRecord, LogRecord, PackedBatch, RecordUnpacker
from streaming.troubles import Kind

Skip = Callable[[TopicPartition, int, int, str], None]  # partition, first and last offset skipped, why


@dataclass(frozen=True, slots=True)
class KnownOfPartitions:
    """A source's knowledge of its partitions, beside the fetched bytes.

    highs: each log's end. bad: by a damaged batch's offset, the first and last offset at which the batch may begin.
    skip: called for damaged offsets that are skipped; None: damage is raised. Batches whose codec is missing are never
    skipped, because another build can read them.
    """

    highs: Mapping[TopicPartition, int] = field(default_factory=dict)
    bad: Mapping[tuple[TopicPartition, int], tuple[int, int]] = field(default_factory=dict)
    skip: Skip | None = None


class FetchedRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one partition in one answer to a fetch, unpacked a batch at a time.

    kafka-python takes 6 µs to make a record, more than a worker's own work on it, so that part is done here. The choice
    of visible records (aborted transactions, markers) is kafka-python's. At a batch that cannot be read, kafka-python
    goes on to the next one; here the position stays before it, and BadBatch is raised.
    """

    def __init__(
        self,
        prefix: str,
        fetch_offset: int,
        tp: Any,
        records: Any,
        *,
        known: KnownOfPartitions | None = None,
        **options: Any,
    ) -> None:
        super().__init__(fetch_offset, tp, records, **options)
        self._topic = tp.topic[len(prefix) :]
        self._unpacker = RecordUnpacker(self._topic, tp.partition)
        known = known or KnownOfPartitions()
        self._found = FetchedBatches(
            tp,
            records._buffer,
            fetch_offset,
            known.highs.get(tp),
            checked=self.check_crcs,
            within=known.bad.get((tp, fetch_offset)),
        )
        self._skip = known.skip
        self._unpacked = self._batches()
        self._ready: list[LogRecord] = []
        self._at = 0  # index in `_ready`

    def take(self, n: int | None = None) -> list[LogRecord]:
        """The next `n` records, fewer at the end. Raises BadBatch, after all records before it were taken."""
        found: list[LogRecord] = []
        try:
            self._maybe_raise_next_inline_exception()
            while self.record_iterator is not None and (n is None or len(found) < n):
                if self._at == len(self._ready):
                    self._refill()
                    continue
                stop = len(self._ready) if n is None else min(len(self._ready), self._at + n - len(found))
                found += self._ready[self._at : stop]
                self._at = stop
                self.next_fetch_offset = self._ready[stop - 1].offset + 1
        except BadBatch as err:
            if not found:
                self.drain()  # nothing behind it may be read: the next fetch begins here again
                raise
            self._next_inline_exception = err
        return found

    def _refill(self) -> None:
        found = next(self._unpacked, None)
        if found is None:
            self.drain()
            return
        if found and found[0].offset < self.fetch_offset:  # a fetch from the middle of a batch gives all of it
            found = [record for record in found if record.offset >= self.fetch_offset]
        self.records_read += len(found)
        self._ready, self._at = found, 0

    def _batches(self) -> Iterator[list[LogRecord]]:
        """Gives the records of each visible batch, without the others. Raises BadBatch."""
        last = None
        while True:
            first = self._found.expected
            try:
                batch = self._found.next()
                if batch is None:
                    break
                last = batch
                self.bytes_read += batch.size_in_bytes
                if batch.magic == 2:
                    self.leader_epoch = batch.leader_epoch
                    if self._is_hidden(batch, first):
                        self.next_fetch_offset = batch.next_offset
                        continue
                records = self._unpack(batch, first)
            except BadBatch as err:
                if not self._passes_over(err):
                    raise
                last = None
                continue
            yield records
        if last is not None and last.magic == 2:  # compaction may have removed the records at its end
            self.next_fetch_offset = last.next_offset

    def _passes_over(self, bad: BadBatch) -> bool:
        """Skips a bad batch where that is allowed and something follows; returns whether it did."""
        if self._skip is None or bad.kind != "damaged":
            return False
        if self._found.expected == bad.offset and not self._found.resume():  # else the batch was passed already
            return False
        self._skip(self.topic_partition, bad.offset, self._found.expected - 1, bad.why)
        self.next_fetch_offset = self._found.expected
        return True

    def _is_hidden(self, batch: Any, first: int) -> bool:
        """Whether a batch is a marker, or belongs to an aborted transaction."""
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            try:
                ends = self._contains_abort_marker(batch)
            except (IndexError, struct.error, ValueError, KafkaError) as err:
                raise self._bad(first, "damaged", f"the end of a transaction cannot be read: {err}") from err
            if ends:
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)

    def _unpack(self, batch: Any, first: int) -> list[LogRecord]:
        try:
            if batch.magic != 2:  # written before Kafka 0.11
                return unpack_legacy(self._topic, self.topic_partition.partition, bytes(batch._buffer))
            append_ms = batch.max_timestamp if batch.timestamp_type == batch.LOG_APPEND_TIME else None
            payload = unpack(batch.compression_type, bytes(memoryview(batch._buffer)[batch._pos :]))
            counts = batch.records_count, batch.base_offset, batch.first_timestamp
            return self._unpacker.unpack(PackedBatch(payload, 0, *counts, append_ms))
        except CodecMissing as err:
            raise self._bad(first, "codec", f"a batch is {err}") from err
        except (BrokenPayload, BrokenRecord) as err:
            raise self._bad(first, "damaged", f"a batch cannot be unpacked: {err}") from err

    def _bad(self, offset: int, kind: Kind, why: str) -> BadBatch:
        return BadBatch(self.topic_partition, offset, kind, why)


def unpack_here(consumer: Any, prefix: str, known: KnownOfPartitions) -> None:
    """Makes the consumer unpack its fetches as FetchedRecords, with topics without the prefix."""
    consumer._fetcher.PartitionRecords = partial(FetchedRecords, prefix, known=known)
