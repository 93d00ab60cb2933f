"""Opens sources and sinks on a Kafka cluster. Never reads or writes a record itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor

from streaming.broker.admin import KafkaAdmin
from streaming.broker.config import KafkaConfig
from streaming.broker.failure import quiet_client_log, translated
from streaming.broker.sink import KafkaSink
from streaming.broker.source import KafkaSource
from streaming.errors import TopicMissing
from streaming.log import Partition, Start

MAX_RECORD_BYTES = 4_194_304  # a megabyte of text, escaped as JSON, is up to twice as long


class KafkaLog:
    """A Kafka cluster. There, `prefix` stands before the names of topics, groups and transactional ids; here never.

    For any number of threads; each source and sink is for one.
    """

    def __init__(self, config: KafkaConfig, prefix: str = "") -> None:
        self._config = config
        self._prefix = prefix
        quiet_client_log()

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
        return KafkaSink(producer, self._prefix, self._count, transactional=transactional_id is not None, config=config)

    def partitions(self, topic: str) -> Sequence[Partition]:
        return [Partition(topic, index) for index in range(self._count(self._prefix + topic))]

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
                fetch_min_bytes=config.fetch_min_bytes,
                max_partition_fetch_bytes=MAX_RECORD_BYTES,
                metrics_enabled=False,
            )

    def _count(self, name: str) -> int:
        with KafkaAdmin(self._config) as admin:
            counts = admin.partition_counts([name])
        if name not in counts:
            raise TopicMissing(f"topic {name!r} does not exist; `tidecast topics` creates what is missing")
        return counts[name]

    def _there(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._prefix + partition.topic, partition.index)
