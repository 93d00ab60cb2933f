"""The one door to kafka-python: Source, Sink, Log and topics on a real Kafka. Never decodes, never logs a value."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import (
    AuthorizationError,
    FencedInstanceIdError,
    InvalidProducerEpochError,
    KafkaError,
    KafkaTimeoutError,
    ProducerFencedError,
    TopicAlreadyExistsError,
    TransactionCoordinatorFencedError,
    UnknownTopicOrPartitionError,
)
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.structs import OffsetAndMetadata

from streaming.errors import ConfigError, Fenced, LogError, LogUnavailable, TopicMissing
from streaming.log import Batch, Partition, Record, Source, Start
from streaming.partitioner import partition_of
from streaming.record_packer import PackedRecords, RecordPacker

MAX_RECORD_BYTES = 4_194_304  # a megabyte of text, escaped as JSON, is up to twice as long
MAX_UNSENT_BYTES = 67_108_864  # kafka-python has no bound of its own on what waits to be sent
_FENCED = (
    ProducerFencedError,
    InvalidProducerEpochError,
    FencedInstanceIdError,
    TransactionCoordinatorFencedError,
)


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """How Kafka is reached. Security fields are handed to kafka-python as they are; "" means not set."""

    bootstrap_servers: str = ""  # host:port,host:port; "" starts and uses the local Kafka
    client_id: str = "tidecast"
    security_protocol: str = "PLAINTEXT"  # PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL
    sasl_mechanism: str = ""  # PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, GSSAPI, OAUTHBEARER
    sasl_plain_username: str = ""
    sasl_plain_password: str = ""
    ssl_cafile: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    ssl_password: str = ""
    ssl_check_hostname: bool = True
    connect_timeout_s: float = 10.0
    session_timeout_s: float = 6.0  # a member that is silent so long loses its partitions; the broker allows from 6 s
    max_poll_records: int = 5_000
    fetch_max_wait_ms: int = 100  # how long a broker holds an empty answer back; only idle topics wait
    batch_size: int = 131_072
    linger_ms: int = 5
    delivery_timeout_s: float = 30.0  # longer than a broker's restart; then the records count as not written

    def __post_init__(self) -> None:
        allowed = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
        if self.security_protocol not in allowed:
            raise ConfigError(
                f"kafka.security_protocol is {self.security_protocol!r}; allowed are {', '.join(allowed)}"
            )
        if self.security_protocol.startswith("SASL") and not self.sasl_mechanism:
            raise ConfigError(f"kafka.sasl_mechanism is not set, but {self.security_protocol} needs one, such as PLAIN")
        for name in ("connect_timeout_s", "session_timeout_s", "max_poll_records", "batch_size", "delivery_timeout_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"kafka.{name} is {getattr(self, name)}; it must be greater than 0")

    def or_local(self, bootstrap_servers: str) -> KafkaConfig:
        """This, or where it names no cluster, the same with the local Kafka's address."""
        return self if self.bootstrap_servers else replace(self, bootstrap_servers=bootstrap_servers)

    def client(self) -> dict[str, Any]:
        """What every kafka-python client is given."""
        optional = (
            "sasl_mechanism",
            "sasl_plain_username",
            "sasl_plain_password",
            "ssl_cafile",
            "ssl_certfile",
            "ssl_keyfile",
            "ssl_password",
        )
        return {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "client_id": self.client_id,
            "security_protocol": self.security_protocol,
            "ssl_check_hostname": self.ssl_check_hostname,
            "bootstrap_timeout_ms": int(self.connect_timeout_s * 1000),
            "request_timeout_ms": 10_000,  # a broker that says nothing for so long is gone
            "reconnect_backoff_max_ms": 1_000,  # a broker that comes back is found within a second
            **{name: getattr(self, name) for name in optional if getattr(self, name)},
        }


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns kafka-python's errors into ours."""
    try:
        yield
    except _FENCED as err:
        raise Fenced(f"{what}: another process has taken this one's place ({type(err).__name__})") from err
    except UnknownTopicOrPartitionError as err:
        raise TopicMissing(f"{what}: a topic does not exist; `tidecast topics` creates what is missing") from err
    except AuthorizationError as err:
        raise LogError(f"{what}: Kafka does not allow it ({err}); see the security settings of [kafka]") from err
    except (KafkaError, OSError) as err:
        raise LogUnavailable(f"{what}: {type(err).__name__}: {err}") from err


class KafkaLog:
    """A Kafka cluster. There, `prefix` stands before the names of topics, groups and transactional ids; here never.

    For any number of threads; each source and sink is for one.
    """

    def __init__(self, config: KafkaConfig, prefix: str = "") -> None:
        self._config = config
        self._prefix = prefix
        logging.getLogger("kafka").setLevel(
            logging.CRITICAL
        )  # what matters is raised; an outage logs 20 lines a second

    def group(self, topics: Sequence[str], group: str, member: str) -> KafkaSource:
        for topic in topics:
            self.partitions(topic)
        session_ms = int(self._config.session_timeout_s * 1000)
        consumer = self._consumer(
            group_id=self._prefix + group,
            group_instance_id=member,
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(100, session_ms // 6),
        )
        source = KafkaSource(consumer, self._prefix)
        source.subscribe(topics)
        return source

    def reader(self, partitions: Sequence[Partition], start: Start = "beginning") -> KafkaSource:
        source = KafkaSource(self._consumer(), self._prefix)
        source.assign(partitions, start)
        return source

    def sink(self, transactional_id: str | None = None) -> KafkaSink:
        config = self._config
        options: dict[str, Any] = {
            "compression_type": "lz4",
            "batch_size": config.batch_size,
            "linger_ms": config.linger_ms,
            "max_request_size": MAX_RECORD_BYTES,
            "delivery_timeout_ms": int(config.delivery_timeout_s * 1000),
            "max_block_ms": int(config.connect_timeout_s * 1000),
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
        }
        if transactional_id is not None:
            options["transactional_id"] = self._prefix + transactional_id
            # The next transaction waits for the last one's markers: asked after 5 ms, a commit takes 8 ms, not 115
            options["retry_backoff_ms"] = 5
        with translated("opening a sink"):
            producer = KafkaProducer(**config.client(), **options)
            if transactional_id is not None:
                producer.init_transactions()
        return KafkaSink(producer, self._prefix, transactional=transactional_id is not None, config=config)

    def partitions(self, topic: str) -> Sequence[Partition]:
        with KafkaAdmin(self._config) as admin:
            counts = admin.partition_counts([self._prefix + topic])
        if self._prefix + topic not in counts:
            raise TopicMissing(
                f"topic {self._prefix + topic!r} does not exist; `tidecast topics` creates what is missing"
            )
        return [Partition(topic, index) for index in range(counts[self._prefix + topic])]

    def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        consumer = self._consumer()
        try:
            with translated("asking for the ends of partitions"):
                found = consumer.end_offsets([self._there(partition) for partition in partitions])
            return {partition: found[self._there(partition)] for partition in partitions}
        finally:
            consumer.close(autocommit=False)

    def _consumer(self, **options: Any) -> KafkaConsumer:
        config = self._config
        with translated(f"connecting to Kafka at {config.bootstrap_servers}"):
            return KafkaConsumer(
                **config.client(),
                **options,
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                max_poll_records=config.max_poll_records,
                fetch_max_wait_ms=config.fetch_max_wait_ms,
                max_partition_fetch_bytes=MAX_RECORD_BYTES,
                metrics_enabled=False,
            )

    def _there(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._prefix + partition.topic, partition.index)


class KafkaSource:
    """Reads Kafka through one KafkaConsumer, whose own thread keeps fetching and sends the heartbeats."""

    def __init__(self, consumer: Any, prefix: str) -> None:
        self._consumer = consumer
        self._prefix = prefix
        self._told: frozenset[TopicPartition] = frozenset()  # the assignment that the caller knows of
        self._changes = _Assignments()
        self._in_group = False
        self._ends: dict[TopicPartition, int] = {}
        self._heard_s = time.monotonic()
        self._listen_to_fetches()

    def subscribe(self, topics: Sequence[str]) -> None:
        self._in_group = True
        self._consumer.subscribe([self._prefix + topic for topic in topics], listener=self._changes)

    def assign(self, partitions: Sequence[Partition], start: Start) -> None:
        there = [TopicPartition(self._prefix + partition.topic, partition.index) for partition in partitions]
        with translated("opening a reader"):
            self._ends.update(self._consumer.end_offsets(there))
            self._consumer.assign(there)
            if start == "beginning":
                self._consumer.seek_to_beginning(*there)
            else:
                for partition in there:
                    self._consumer.seek(partition, self._ends[partition])

    def poll(self, timeout_s: float) -> Batch:
        deadline = time.monotonic() + timeout_s
        try:
            with translated("polling"):
                found = self._consumer.poll(timeout_ms=max(0, int(timeout_s * 1000)))
        except LogUnavailable:
            time.sleep(max(0.0, deadline - time.monotonic()))  # an outage must not become a busy loop
            found = {}
        assigned, revoked = self._reassignment()
        records = {self._here(partition): self._renamed(lines) for partition, lines in found.items()}
        return Batch(records, assigned, revoked)

    def commit(self, positions: Mapping[Partition, int]) -> None:
        with translated("storing positions"):
            if not self._in_group:
                raise LogError("a reader of exact partitions belongs to no group and stores no positions")
            self._consumer.commit(self.offsets(positions), timeout_ms=10_000)

    def lag(self) -> Mapping[Partition, int]:
        assignment = self._consumer._subscription.assignment
        lag: dict[Partition, int] = {}
        for partition, state in list(assignment.items()):
            position, end = state.position, self._ends.get(partition)
            # 1: it is not known to be 0 before both are known
            lag[self._here(partition)] = 1 if position is None or end is None else max(0, end - position.offset)
        return lag

    def contact_age_s(self) -> float:
        heartbeat: float = (
            self._consumer._coordinator.heartbeat.last_receive
        )  # a member with no partition fetches nothing
        return time.monotonic() - max(self._heard_s, heartbeat)

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=2_000)

    def offsets(self, positions: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Positions as kafka-python takes them."""
        return {
            TopicPartition(self._prefix + partition.topic, partition.index): OffsetAndMetadata(offset, "", -1)
            for partition, offset in positions.items()
        }

    def membership(self) -> Any:
        """What a transaction needs to know of this member, so that a stale one is fenced (KIP-447)."""
        return self._consumer.group_metadata()

    def _listen_to_fetches(self) -> None:
        """Notes when a broker answered a fetch and where each partition's last stable offset is.

        kafka-python gives out neither; its high watermark counts what is not committed yet, which is no lag of ours.
        """
        fetcher = self._consumer._fetcher
        handle = fetcher._handle_fetch_response

        def heard(node_id: int, fetch_offsets: Any, send_time: float, response: Any) -> None:
            self._heard_s = time.monotonic()
            for topic in response.responses:
                for partition in topic.partitions:
                    if partition.last_stable_offset >= 0:
                        there = TopicPartition(topic.topic, partition.partition_index)
                        self._ends[there] = partition.last_stable_offset
            handle(node_id, fetch_offsets, send_time, response)

        fetcher._handle_fetch_response = heard

    def _reassignment(self) -> tuple[tuple[Partition, ...], tuple[Partition, ...]]:
        change = self._changes.take()
        if change is None:
            return (), ()
        held, lost = change
        assigned, revoked = held - (self._told - lost), (self._told - held) | (self._told & lost)
        self._told = held
        with contextlib.suppress(KafkaError):  # not knowing the ends yet is said by lag()
            self._ends.update(self._consumer.end_offsets(list(assigned), timeout_ms=2_000) if assigned else {})
        return self._sorted(assigned), self._sorted(revoked)

    def _sorted(self, partitions: frozenset[TopicPartition]) -> tuple[Partition, ...]:
        return tuple(sorted(map(self._here, partitions)))

    def _here(self, partition: TopicPartition) -> Partition:
        return Partition(partition.topic[len(self._prefix) :], partition.partition)

    def _renamed(self, lines: list[Any]) -> Sequence[Record]:
        if not self._prefix:
            return lines
        topic = lines[0].topic[len(self._prefix) :]
        return [line._replace(topic=topic) for line in lines]


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc]
    """Keeps what the consumer's own thread says of the assignment until the next poll takes it.

    A rebalance revokes everything and gives most of it back, with its position: only the difference is a change. What
    was lost may have been another's meanwhile, so it is a change even where it comes back.
    """

    def __init__(self) -> None:
        self._held: frozenset[TopicPartition] = frozenset()
        self._lost: frozenset[TopicPartition] = frozenset()
        self._settled = False

    def on_partitions_revoked(self, revoked: Any) -> None:
        """A rebalance begins; its end will say what is kept."""

    def on_partitions_lost(self, lost: Any) -> None:
        self._lost |= frozenset(lost)
        self._held -= frozenset(lost)
        self._settled = True

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._held = frozenset(assigned)
        self._settled = True

    def take(self) -> tuple[frozenset[TopicPartition], frozenset[TopicPartition]] | None:
        """What is held and what was lost since the last time; None where nothing happened."""
        if not self._settled:
            return None
        self._settled = False
        lost, self._lost = self._lost, frozenset()
        return self._held, lost


class KafkaSink:
    """Writes to Kafka through one KafkaProducer, in batches packed here.

    kafka-python's own `send` takes 25 µs a record, which would make writing dearer than the rest of a worker's work. So
    records are queued here, packed a batch at a time, and the batches are handed to the producer's accumulator, which
    compresses, numbers, sends and retries them as its own: 110,000 records a second instead of 31,000.
    """

    def __init__(self, producer: Any, prefix: str, *, transactional: bool, config: KafkaConfig) -> None:
        self._producer = producer
        self._prefix = prefix
        self._transactional = transactional
        self._linger_s = config.linger_ms / 1000
        self._batch_size = config.batch_size
        self._timeout_s = config.delivery_timeout_s + 5  # kafka-python gives up first and says why
        self._packer = RecordPacker(config.batch_size)
        self._open = False
        self._counts: dict[str, int] = {}
        self._queued: dict[tuple[str, int], list[tuple[bytes | None, bytes | None]]] = {}
        self._queued_bytes = 0
        self._queued_since_s = 0.0
        self._unsent_bytes = 0
        self._keyless = itertools.count()
        self._failures: list[BaseException] = []

    def send(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        name = self._prefix + topic
        count = self._counts.get(name) or self._count(name)
        if partition is None:
            partition = next(self._keyless) % count if key is None else partition_of(key, count)
        elif partition >= count:
            raise TopicMissing(f"topic {name!r} has no partition {partition}, only {count}")
        self._queued.setdefault((name, partition), []).append((key, value))
        if not self._queued_bytes:
            self._queued_since_s = time.monotonic()
        self._queued_bytes += len(value or b"") + 50
        if self._queued_bytes > self._batch_size or time.monotonic() - self._queued_since_s > self._linger_s:
            self._push()

    def flush(self) -> None:
        with translated("flushing"):
            self._push()
            self._unsent_bytes = 0
            self._producer.flush(timeout=self._timeout_s)
            if self._failures:
                failures, self._failures = self._failures, []
                raise failures[0]

    def commit(self, source: Source, positions: Mapping[Partition, int]) -> None:
        if not isinstance(source, KafkaSource):
            raise LogError(f"a {type(source).__name__} cannot be committed through a Kafka sink")
        self.flush()
        if not self._transactional:
            source.commit(positions)
            return
        with translated("committing a transaction"):
            if not self._open and not positions:
                return
            self._begin()
            if positions:
                self._producer.send_offsets_to_transaction(source.offsets(positions), source.membership())
            self._producer.commit_transaction()
            self._open = False

    def close(self) -> None:
        with translated("closing a sink"):
            if self._transactional and self._open:
                with contextlib.suppress(KafkaError):
                    self._producer.abort_transaction()
            elif not self._transactional:
                self._push()
            self._producer.close(timeout=5)

    def _begin(self) -> None:
        if self._transactional and not self._open:
            self._producer.begin_transaction()
            self._open = True

    def _push(self) -> None:
        """Hands what is queued to the producer; waits for it where too much is under way already."""
        queued, self._queued = self._queued, {}
        self._queued_bytes = 0
        if not queued:
            return
        with translated("writing"):
            self._begin()
            for (name, partition), records in queued.items():
                for packed in self._packer.pack(records):
                    self._enqueue(TopicPartition(name, partition), packed)
                    self._unsent_bytes += len(packed.data)
            self._producer._sender.wakeup()
            if self._unsent_bytes > MAX_UNSENT_BYTES:
                self.flush()

    def _enqueue(self, there: TopicPartition, packed: PackedRecords) -> None:
        """What RecordAccumulator.append does for one record, for a batch that is already full."""
        if self._transactional:
            self._producer._transaction_manager.maybe_add_partition_to_transaction(there)
        builder = MemoryRecordsBuilder(2, DefaultRecordBatchBuilder.CODEC_LZ4, 0)  # size 0: it is full from the start
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
        """A batch is done; its third part makes the error of a record of it, None where it was written."""
        if result[2] is not None:
            self._failures.append(result[2](0))

    def _count(self, name: str) -> int:
        with translated(f"writing to {name}"):
            try:
                self._counts[name] = len(self._producer.partitions_for(name))
            except KafkaTimeoutError as err:
                if self._producer.bootstrap_connected():
                    raise TopicMissing(f"topic {name!r} does not exist; `tidecast topics` creates it") from err
                raise
        return self._counts[name]


class KafkaAdmin:
    """Looks at and creates topics. Never changes or deletes one."""

    def __init__(self, config: KafkaConfig) -> None:
        with translated(f"connecting to Kafka at {config.bootstrap_servers}"):
            self._admin = KafkaAdminClient(**config.client())

    def __enter__(self) -> KafkaAdmin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def partition_counts(self, topics: Sequence[str]) -> Mapping[str, int]:
        """How many partitions each of the topics has that exist. Raises LogUnavailable."""
        with translated("looking at topics"):
            found = self._admin.describe_topics(list(topics))
        return {topic["name"]: len(topic["partitions"]) for topic in found if not topic["error_code"]}

    def replication_factors(self, topics: Sequence[str]) -> Mapping[str, int]:
        """How many replicas each of the topics has that exist."""
        with translated("looking at topics"):
            found = self._admin.describe_topics(list(topics))
        return {t["name"]: len(t["partitions"][0]["replica_nodes"]) for t in found if not t["error_code"]}

    def create(self, topic: str, *, partitions: int, replication_factor: int, settings: Mapping[str, str]) -> None:
        """Creates one topic and waits until it can be used; no error where another has created it meanwhile.

        Raises LogError, LogUnavailable.
        """
        new = NewTopic(topic, partitions, replication_factor, topic_configs=dict(settings))
        with translated(f"creating topic {topic}"):
            with contextlib.suppress(TopicAlreadyExistsError):
                self._admin.create_topics([new])
            self._admin.wait_for_topics([topic])

    def settings(self, topic: str) -> Mapping[str, str]:
        """All settings in force of a topic."""
        with translated(f"looking at the settings of {topic}"):
            found = self._admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        return {name: str(setting["value"]) for name, setting in found["topic"][topic].items()}

    def close(self) -> None:
        """Closes the connection."""
        self._admin.close()
