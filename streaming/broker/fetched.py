"""Unpacks what a KafkaConsumer has fetched. Never fetches, never moves a position by itself."""

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
from streaming.compression import BrokenPayload, CodecMissing, unpack
from streaming.legacy_records import unpack_legacy
from streaming.record_unpacker import BrokenRecord, LogRecord, PackedBatch, RecordUnpacker
from streaming.troubles import Kind

Skip = Callable[[TopicPartition, int, int, str], None]  # partition, first and last offset passed over, why


@dataclass(frozen=True, slots=True)
class KnownOfPartitions:
    """What a source knows beside the bytes.

    highs: where each log ended. bad: where the batch begins of which an offset was damaged, from the first to the last.
    skip: told of what is damaged and passed over; None: it is raised. What is packed with a codec that is missing is
    never passed over: another build can read it.
    """

    highs: Mapping[TopicPartition, int] = field(default_factory=dict)
    bad: Mapping[tuple[TopicPartition, int], tuple[int, int]] = field(default_factory=dict)
    skip: Skip | None = None


class FetchedRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one partition in one answer to a fetch, unpacked a batch at a time.

    kafka-python makes a record in 6 µs, which is more than all that a worker does with it, so that part is done here.
    Which records a reader may see (aborted transactions, markers) is kafka-python's. Where a batch cannot be read
    kafka-python's own next step is the batch after it: here the position stays before it, and BadBatch says why.
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
        self._at = 0  # in `_ready`

    def take(self, n: int | None = None) -> list[LogRecord]:
        """The next `n` records, fewer at the end. Raises BadBatch, once what came before it was taken."""
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
                self.drain()  # nothing behind it may be taken: the next fetch begins here again
                raise
            self._next_inline_exception = err
        return found

    def _refill(self) -> None:
        found = next(self._unpacked, None)
        if found is None:
            self.drain()
            return
        if found and found[0].offset < self.fetch_offset:  # a fetch from the middle of a batch brings all of it
            found = [record for record in found if record.offset >= self.fetch_offset]
        self.records_read += len(found)
        self._ready, self._at = found, 0

    def _batches(self) -> Iterator[list[LogRecord]]:
        """The records of each batch that a reader may see; steps over the others. Raises BadBatch."""
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
        if last is not None and last.magic == 2:  # the records at its end may be gone by compaction
            self.next_fetch_offset = last.next_offset

    def _passes_over(self, bad: BadBatch) -> bool:
        """Whether what is behind it is read on; if so, that is said."""
        if self._skip is None or bad.kind != "damaged":
            return False
        if self._found.expected == bad.offset and not self._found.resume():  # else it is walked already
            return False
        self._skip(self.topic_partition, bad.offset, self._found.expected - 1, bad.why)
        self.next_fetch_offset = self._found.expected
        return True

    def _is_hidden(self, batch: Any, first: int) -> bool:
        """Whether it is a marker, or of a transaction that was aborted."""
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
    """Has the consumer unpack what it fetches as FetchedRecords, their topics without the prefix."""
    consumer._fetcher.PartitionRecords = partial(FetchedRecords, prefix, known=known)
