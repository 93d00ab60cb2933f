"""Opens sources and sinks on a Kafka cluster. Never reads or writes a record itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor

from streaming.broker.admin import KafkaAdmin
from streaming.broker.ends import ends_of
from streaming.broker.failure import connecting, quiet_client_log, translated
from streaming.broker.private_names import CONSUMER, PRODUCER, require
from streaming.broker.sink import KafkaSink, keep_requests
from streaming.broker.source import KafkaSource
from streaming.errors import LogError, TopicMissing
from streaming.kafka_config import KafkaConfig
from streaming.log.log import LiveMember, Partition, Start, TopicShape

MAX_RECORD_BYTES = 4_194_304  # a megabyte of text, escaped as JSON, is up to twice as long


class KafkaLog:
    """The log on a Kafka cluster. `prefix` begins the cluster's names of topics, groups, transactional ids, never ours.

    For any number of threads; each source and sink is for one.
    """

    def __init__(self, config: KafkaConfig, prefix: str = "", *, skip_damaged: bool = False) -> None:
        """skip_damaged: see LogConfig."""
        self._config = config
        self._prefix = prefix
        self._skip_damaged = skip_damaged
        quiet_client_log()

    def group(self, topics: Sequence[str], group: str, member: str, beside: Sequence[str] = ()) -> KafkaSource:
        shapes = self.shapes((*topics, *beside))
        session_ms = int(self._config.session_timeout_s * 1000)
        consumer = self._consumer(
            group_id=self._prefix + group,
            group_instance_id=member,
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(100, session_ms // 4),
        )
        source = self._source(consumer)
        source.subscribe(topics, shapes)
        return source

    def member(self, group: str, name: str) -> LiveMember | None:
        with KafkaAdmin(self._config) as admin:
            found = admin.member(self._prefix + group, name)
        if found is None:
            return None
        ours = [there for there in found.partitions if there.topic.startswith(self._prefix)]
        here = tuple(Partition(there.topic[len(self._prefix) :], there.partition) for there in ours)
        return LiveMember(found.member_id, found.host, here)

    def _leave(self, group: str, name: str, member_id: str, host: str) -> None:
        with KafkaAdmin(self._config) as admin:
            if member_id:
                admin.remove_member(group, name, member_id)
            else:
                admin.remove_member_at(group, name, host)

    def reader(self, partitions: Sequence[Partition], start: Start = "beginning") -> KafkaSource:
        shapes = self.shapes(sorted({partition.topic for partition in partitions}))
        source = self._source(self._consumer())
        source.assign(partitions, start, shapes)
        return source

    def sink(self, transactional_id: str | None = None) -> KafkaSink:
        config = self._config
        options: dict[str, Any] = {
            "compression_type": "lz4",
            "batch_size": config.batch_size,
            "linger_ms": config.linger_ms,
            "max_request_size": MAX_RECORD_BYTES,
            "delivery_timeout_ms": int(config.delivery_timeout_s * 1000),
            "metadata_max_age_ms": int(config.metadata_max_age_s * 1000),
            "max_block_ms": int(config.connect_timeout_s * 1000),
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
        }
        if transactional_id is not None:
            options["transactional_id"] = self._prefix + transactional_id
            options["transaction_timeout_ms"] = int(config.transaction_timeout_s * 1000)
            # The next transaction waits for the last one's markers: retried after 5 ms, a commit takes 8 ms, not 115
            options["retry_backoff_ms"] = 5
        what = "opening a sink" if transactional_id is None else f"opening the sink {transactional_id!r}"
        with connecting(self._config.bootstrap_servers, what):
            producer = KafkaProducer(**config.client(), **options)
            require(producer, PRODUCER)
            if transactional_id is not None:
                keep_requests(producer)
                producer.init_transactions()
        return KafkaSink(producer, self._prefix, self._count, transactional=transactional_id is not None, config=config)

    def partitions(self, topic: str) -> Sequence[Partition]:
        return [Partition(topic, index) for index in range(self.shapes([topic])[topic].partitions)]

    def shapes(self, topics: Sequence[str]) -> Mapping[str, TopicShape]:
        with KafkaAdmin(self._config) as admin:
            found = admin.shapes([self._prefix + topic for topic in topics])
        for topic in topics:
            if self._prefix + topic not in found:
                raise TopicMissing(
                    f"topic {self._prefix + topic!r} does not exist; `tidecast topics` creates what is missing"
                )
        return {topic: found[self._prefix + topic] for topic in topics}

    def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        consumer = self._consumer()
        try:
            with translated("asking for the ends of partitions"):
                found = ends_of(consumer, [self._there(partition) for partition in partitions])
            return {partition: found[self._there(partition)] for partition in partitions}
        finally:
            consumer.close(autocommit=False)

    def _source(self, consumer: KafkaConsumer) -> KafkaSource:
        return KafkaSource(
            consumer,
            self._prefix,
            self._holder,
            self._leave,
            skip_damaged=self._skip_damaged,
            metadata_max_age_s=self._config.metadata_max_age_s,
        )

    def _holder(self, there: TopicPartition, offset: int) -> str:
        """Describes whose transaction has been open since an offset. Blocks for some requests; raises nothing."""
        try:
            with KafkaAdmin(self._config) as admin:
                return admin.holder(there.topic, there.partition, offset)
        except LogError as err:
            return f"a producer's transaction is open since then; which one, the broker does not tell ({err})"

    def _consumer(self, **options: Any) -> KafkaConsumer:
        config = self._config
        with connecting(config.bootstrap_servers):
            consumer = KafkaConsumer(
                **config.client(),
                **options,
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                max_poll_records=config.max_poll_records,
                fetch_max_wait_ms=config.fetch_max_wait_ms,
                fetch_min_bytes=config.fetch_min_bytes,
                max_partition_fetch_bytes=MAX_RECORD_BYTES,
                metrics_enabled=False,
            )
        require(consumer, CONSUMER)
        return consumer

    def _count(self, name: str) -> int:
        topic = name[len(self._prefix) :]
        return self.shapes([topic])[topic].partitions

    def _there(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._prefix + partition.topic, partition.index)
