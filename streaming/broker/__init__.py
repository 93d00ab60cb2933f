"""The one door to kafka-python: Log, Source, Sink and topics on a real Kafka. Never decodes, never logs a value."""

from streaming.broker.admin import KafkaAdmin
from streaming.broker.config import KafkaConfig, LogConfig
from streaming.broker.log import KafkaLog
from streaming.broker.sink import KafkaSink
from streaming.broker.source import KafkaSource

__all__ = ["KafkaAdmin", "KafkaConfig", "KafkaLog", "KafkaSink", "KafkaSource", "LogConfig"]
