"""Unpacks what a KafkaConsumer has fetched. Never fetches, never moves a position by itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from kafka.consumer.fetcher import Fetcher, IsolationLevel
from kafka.errors import CorruptRecordError

from streaming.record_unpacker import BrokenRecord, LogRecord, PackedBatch, RecordUnpacker


class FetchedRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one partition in one answer to a fetch, unpacked a batch at a time.

    kafka-python makes a record in 6 µs, which is more than all that a worker does with it, so that part is done here.
    What decides which records a reader may see (checksums, aborted transactions, markers) is kafka-python's.
    """

    def __init__(self, prefix: str, fetch_offset: int, tp: Any, records: Any, **options: Any) -> None:
        super().__init__(fetch_offset, tp, records, **options)
        self._topic = tp.topic[len(prefix) :]
        self._unpacker = RecordUnpacker(self._topic, tp.partition)
        self._batches: Iterator[Any] = self._readable(records)
        self._ready: list[LogRecord] = []
        self._at = 0  # in `_ready`

    def take(self, n: int | None = None) -> list[LogRecord]:
        """The next `n` records, fewer at the end. Raises CorruptRecordError, once what came before it was taken."""
        self._maybe_raise_next_inline_exception()
        found: list[LogRecord] = []
        try:
            while self.record_iterator is not None and (n is None or len(found) < n):
                if self._at == len(self._ready):
                    self._refill()
                    continue
                stop = len(self._ready) if n is None else min(len(self._ready), self._at + n - len(found))
                found += self._ready[self._at : stop]
                self._at = stop
                self.next_fetch_offset = self._ready[stop - 1].offset + 1
        except Exception as err:
            if not found:
                raise
            self._next_inline_exception = err
        return found

    def _refill(self) -> None:
        batch = next(self._batches, None)
        if batch is None:
            self.drain()
            return
        found = self._unpacked(batch)
        if found and found[0].offset < self.fetch_offset:  # a fetch from the middle of a batch brings all of it
            found = [record for record in found if record.offset >= self.fetch_offset]
        self.records_read += len(found)
        self._ready, self._at = found, 0

    def _readable(self, records: Any) -> Iterator[Any]:
        """The batches that a reader may see; steps over the others."""
        last = None
        while (batch := records.next_batch()) is not None:
            last = batch
            self.bytes_read += batch.size_in_bytes
            if self.check_crcs and not batch.validate_crc():
                raise CorruptRecordError(f"{self.topic_partition}: a batch fails its checksum")
            if batch.magic == 2:
                self.leader_epoch = batch.leader_epoch
                if self._is_hidden(batch):
                    self.next_fetch_offset = batch.next_offset
                    continue
            yield batch
        if last is not None and last.magic == 2:  # the records at its end may be gone by compaction
            self.next_fetch_offset = last.next_offset

    def _is_hidden(self, batch: Any) -> bool:
        """Whether it is a marker, or of a transaction that was aborted."""
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)

    def _unpacked(self, batch: Any) -> list[LogRecord]:
        if batch.magic != 2:  # written before Kafka 0.11
            there = self._topic, self.topic_partition.partition
            return [LogRecord(*there, line.offset, line.timestamp, line.key, line.value) for line in batch]
        batch._maybe_uncompress()
        append_ms = batch.max_timestamp if batch.timestamp_type == batch.LOG_APPEND_TIME else None
        packed = PackedBatch(
            bytes(batch._buffer), batch._pos, batch.records_count, batch.base_offset, batch.first_timestamp, append_ms
        )
        try:
            return self._unpacker.unpack(packed)
        except BrokenRecord as err:
            raise CorruptRecordError(f"{self.topic_partition}: {err}") from err


def unpack_here(consumer: Any, prefix: str) -> None:
    """Has the consumer unpack what it fetches as FetchedRecords, their topics without the prefix."""
    consumer._fetcher.PartitionRecords = partial(FetchedRecords, prefix)
