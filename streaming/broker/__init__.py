"""The one door to kafka-python: Log, Source, Sink and topics on a real Kafka. Never decodes, never logs a value."""

from streaming.broker.admin import KafkaAdmin
from streaming.broker.log import KafkaLog
from streaming.broker.sink import KafkaSink
from streaming.broker.source import KafkaSource
from streaming.kafka_config import KafkaConfig, LogConfig

__all__ = ["KafkaAdmin", "KafkaConfig", "KafkaLog", "KafkaSink", "KafkaSource", "LogConfig"]
