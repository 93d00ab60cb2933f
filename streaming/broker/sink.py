"""Writes records to Kafka, on request in transactions. Never encodes."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecordsBuilder

from streaming.broker.assignments import TakenAs
from streaming.broker.failure import translated
from streaming.broker.source import KafkaSource
from streaming.errors import LogError, LogUnavailable, TopicMissing
from streaming.kafka_config import KafkaConfig
from streaming.log.log import Partition, Source
from streaming.log.partitioner import partition_of
from streaming.record_format.record_packer import PackedRecords, RecordPacker

MAX_UNSENT_BYTES = 67_108_864  # kafka-python has no bound on records that wait to be sent
RECOUNT_S = 1.0  # a topic may have grown
_CLOSE_TIMEOUT_S = 3.0


class KafkaSink:
    """Writes to Kafka through one KafkaProducer, in batches packed here.

    kafka-python's own `send` takes 25 µs a record, more than the rest of a worker's work on it. So records are queued
    here and packed in batches. The producer's accumulator takes the batches, and compresses, numbers, sends and retries
    them as its own: 110,000 records a second instead of 31,000.
    """

    def __init__(
        self,
        producer: Any,
        prefix: str,
        count_partitions: Callable[[str], int],
        *,
        transactional: bool,
        config: KafkaConfig,
    ) -> None:
        self._producer = producer
        self._prefix = prefix
        self._count_partitions = count_partitions
        self._transactional = transactional
        self._linger_s = config.linger_ms / 1000
        self._batch_size = config.batch_size
        self._timeout_s = config.delivery_timeout_s + 5  # kafka-python gives up first, with a reason
        self._gone_s = config.metadata_max_age_s + 1  # by then a new partition is known
        self._packer = RecordPacker(config.batch_size)
        self._open = False
        self._counts: dict[str, int] = {}
        self._counted_s = time.monotonic()
        self._queued: dict[tuple[str, int], list[tuple[bytes | None, bytes | None]]] = {}
        self._queued_bytes = 0
        self._queued_since_s = 0.0
        self._unsent_bytes = 0
        self._keyless = itertools.count()
        self._failures: list[BaseException] = []
        self._committer: ThreadPoolExecutor | None = None
        self._ending: Future[None] | None = None  # the transaction that is being committed

    def send(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        if self._ending is not None:
            self._settle()
        name = self._prefix + topic
        count = self._counts.get(name) or self._count(name)
        if partition is None:
            partition = next(self._keyless) % count if key is None else partition_of(key, count)
        elif partition >= count and partition >= self._count(name):  # the topic may have just grown
            raise TopicMissing(f"topic {name!r} has no partition {partition}, only {self._counts[name]}")
        self._queued.setdefault((name, partition), []).append((key, value))
        if not self._queued_bytes:
            self._queued_since_s = time.monotonic()
        self._queued_bytes += len(value or b"") + 50
        if self._queued_bytes > self._batch_size or time.monotonic() - self._queued_since_s > self._linger_s:
            self._push()

    def flush(self) -> None:
        self._settle()
        with translated("flushing"):
            self._push()
            self._wait_for_written()

    def commit(self, source: Source, positions: Mapping[Partition, int]) -> None:
        self.begin_commit(source, positions)
        self._settle()

    def begin_commit(self, source: Source, positions: Mapping[Partition, int]) -> Future[None]:
        """Begins a commit. A transaction completes in a thread, so that reading its source can go on."""
        self._settle()
        if not isinstance(source, KafkaSource):
            raise LogError(f"a {type(source).__name__} cannot be committed through a Kafka sink")
        if not self._transactional:
            self.flush()
            source.commit(positions)
            return _completed()
        self._push()
        if not (positions or self._open):
            return _completed()
        offsets, taken_as = source.offsets(positions or source.same_position()), source.membership()
        if self._committer is None:
            self._committer = ThreadPoolExecutor(1, "commit")
        self._ending = self._committer.submit(self._end_transaction, offsets, taken_as)
        return self._ending

    def _end_transaction(self, offsets: Any, taken_as: TakenAs) -> None:
        with translated("flushing"):
            self._wait_for_written()
        with translated("committing a transaction"), taken_as as member:
            self._begin()
            manager = self._producer._transaction_manager
            self._await(manager.send_offsets_to_transaction(offsets, member))
            self._await(manager.begin_commit())
            self._open = False

    def _settle(self) -> None:
        """Waits until the transaction that is being committed has completed."""
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.result()

    def _wait_for_written(self) -> None:
        self._unsent_bytes = 0
        deadline_s = time.monotonic() + self._timeout_s
        while True:
            try:
                self._producer.flush(timeout=self._gone_s)
            except KafkaTimeoutError:
                self._require_partitions()
                if time.monotonic() >= deadline_s:
                    raise
            else:
                break
        if self._failures:
            failures, self._failures = self._failures, []
            raise failures[0]

    def _require_partitions(self) -> None:
        """Raises KafkaTimeoutError where records wait for a partition that is gone; kafka-python would wait on."""
        for batch in self._producer._accumulator._incomplete.all():
            topic, partition = batch.topic_partition
            known = self._producer._metadata.partitions_for_topic(topic)
            if known and partition not in known:
                raise KafkaTimeoutError(f"topic {topic} was made anew, and has no partition {partition} any more")

    def close(self) -> None:
        with contextlib.suppress(LogError):  # its caller knows from the future, or does not need to
            self._settle()
        if self._committer is not None:
            self._committer.shutdown()
        try:
            with translated("closing a sink"):
                if not self._transactional:
                    self._push()
                elif self._open:
                    with contextlib.suppress(KafkaError):  # it is void, and the next sink of its id aborts it
                        self._await(self._producer._transaction_manager.begin_abort(), timeout_s=_CLOSE_TIMEOUT_S)
                self._producer.close(timeout=_CLOSE_TIMEOUT_S)
        except LogUnavailable:
            if not self._transactional:
                raise
        finally:  # without a broker kafka-python's close stops half way, and its thread stays
            self._producer._sender.force_close()
            self._producer._closed = True

    def _await(self, result: Any, timeout_s: float | None = None) -> None:
        """Waits for a transactional call, with a limit: kafka-python's own wait never ends without a broker."""
        self._producer._sender.wakeup()
        timeout_s = timeout_s or self._timeout_s
        if not result.wait(timeout_ms=timeout_s * 1000):
            raise KafkaTimeoutError(f"no answer in {timeout_s:.0f} s")

    def _begin(self) -> None:
        if self._transactional and not self._open:
            self._producer.begin_transaction()
            self._open = True

    def _push(self) -> None:
        """Passes the queue to the producer; blocks where too much is in flight already."""
        queued, self._queued = self._queued, {}
        self._queued_bytes = 0
        if not queued:
            return
        if time.monotonic() - self._counted_s > RECOUNT_S:
            self._recount()
        with translated("writing"):
            self._begin()
            for (name, partition), records in queued.items():
                for packed in self._packer.pack(records):
                    self._enqueue(TopicPartition(name, partition), packed)
                    self._unsent_bytes += len(packed.data)
            self._producer._sender.wakeup()
            if self._unsent_bytes > MAX_UNSENT_BYTES:
                self._wait_for_written()

    def _enqueue(self, there: TopicPartition, packed: PackedRecords) -> None:
        """Adds a full batch to the accumulator, as RecordAccumulator.append does with one record."""
        if self._transactional:
            self._producer._transaction_manager.maybe_add_partition_to_transaction(there)
        builder = MemoryRecordsBuilder(2, DefaultRecordBatchBuilder.CODEC_LZ4, 0)  # size 0: full from the start
        inner = builder._builder
        inner._buffer += packed.data
        inner._first_timestamp = inner._max_timestamp = time.time_ns() // 1_000_000
        inner._num_records = builder._next_offset = packed.count
        inner._last_offset = packed.count - 1
        batch = ProducerBatch(there, builder)
        batch.produce_future.add_callback(self._note)
        accumulator = self._producer._accumulator
        with accumulator._tp_lock(there):
            accumulator._batches[there].append(batch)
            accumulator._incomplete.add(batch)

    def _note(self, result: Any) -> None:
        """Notes a finished batch. The result's third part makes a record's error, None where the batch was written."""
        if result[2] is not None:
            self._failures.append(result[2](0))

    def _recount(self) -> None:
        """Updates the partition counts of topics from the producer's metadata. No I/O."""
        self._counted_s = time.monotonic()
        for name in self._counts:
            self._counts[name] = len(self._producer._metadata.partitions_for_topic(name) or ()) or self._counts[name]

    def _count(self, name: str) -> int:
        with translated(f"writing to {name}"):
            count = self._count_partitions(name)  # fails at once where a topic is missing; the producer tries for long
            self._producer.partitions_for(name)
            if len(self._producer._metadata.partitions_for_topic(name) or ()) < count:
                self._producer._metadata.request_update()
        self._counts[name] = count
        return count


def keep_requests(producer: Any) -> None:
    """Makes a transactional producer keep a request for which no broker can be reached (kafka-python 3.0.12).

    Its sender puts the request back where `await_ready` returns False, but that raises, and the request is lost: the
    transaction then waits for its delivery timeout, 30 s, however soon the broker is back.
    """
    client = producer._sender._client
    ready = client.await_ready

    def await_ready(*arguments: Any, **named: Any) -> bool:
        try:
            return bool(ready(*arguments, **named))
        except KafkaError:
            return False

    client.await_ready = await_ready


def _completed() -> Future[None]:
    ended: Future[None] = Future()
    ended.set_result(None)
    return ended
