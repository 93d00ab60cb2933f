"""Forwards records that lie in a partition that is not their key's, and guesses which partitioner put them there.

Never decodes, never commits: it writes to its reader's sink, and so in its reader's transaction.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from streaming.log.log import Log, Record, Sink
from streaming.log.partitioner import GUESSED, partition_of
from streaming.log.position_note import Once
from streaming.log.restore import states_of
from streaming.log.topics import TOPICS
from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

SAMPLED_KEYS = 512  # a guess needs some dozen
LEAST_KEYS = 4  # of four partitions one in four keys is anywhere by chance
PATIENCE = 10  # calls of `say` before an unknown partitioner is reported
EXPLAINED = 0.95  # some of the keys may be another producer's
MARK = b',"forwarded":'  # in a copy's value, before `"topic-partition@offset"` of the original


class MisplacedRecords:
    """Forwards one reader's foreign records. For the thread of its sink."""

    def __init__(self, sink: Sink, metrics: Metrics, census: Census) -> None:
        self._sink = sink
        self._metrics = metrics
        self._census = census

    def forward(self, record: Record, key: bytes, partitions: int, once: Once | None = None) -> None:
        """Writes the record to the partition of its key, unless `once` knows it as forwarded already."""
        if once is not None and not once.is_first(record.topic, record.offset):
            return
        guess = self._census.count(record.topic, key, record.partition)
        self._sink.send(record.topic, record.key, marked(record), partition_of(key, partitions))
        self._metrics.count("records_forwarded_total", topic=record.topic, partitioner=guess)


def marked(record: Record) -> bytes | None:
    """The value of a forwarded copy. A JSON object gets a mark with its origin; MessagePack, only ours, stays as is."""
    value = record.value
    if value is None or TOPICS[record.topic].format != "json":
        return value
    body = value.rstrip()[:-1]  # without the closing brace
    return b'%s%s"%s-%d@%d"}' % (body, MARK, record.topic.encode(), record.partition, record.offset)


def is_copy(value: bytes | None) -> bool:
    """Whether a value is that of a forwarded copy. Its original lies on the same topic, in another partition."""
    return value is not None and value.endswith(b'"}') and MARK in value[-200:]


class Census:
    """Guesses each topic's partitioner from its foreign records. For one thread; any may read `text`."""

    def __init__(self, partitions_of: Callable[[str], int]) -> None:
        """partitions_of: the number of a topic's partitions, as its producers see it."""
        self._partitions_of = partitions_of
        self._keys: dict[str, dict[bytes, tuple[str, ...]]] = {}  # by topic and key: the partitioners that explain it
        self._totals: dict[str, int] = {}
        self._guesses: dict[str, str] = {}
        self._said: set[tuple[str, str]] = set()
        self._asked: Counter[str] = Counter()
        self.text = ""  # for a status

    def count(self, topic: str, key: bytes, partition: int) -> str:
        """Counts a foreign record; returns the partitioner that explains the topic's records, or `unknown`."""
        self._totals[topic] = self._totals.get(topic, 0) + 1
        keys = self._keys.setdefault(topic, {})
        if key not in keys and len(keys) < SAMPLED_KEYS:
            count = self._partitions_of(topic)
            keys[key] = tuple(name for name, choose in GUESSED.items() if choose(key, count) == partition)
            self._guesses[topic] = self._guess(keys)
        return self._guesses[topic]

    def say(self) -> None:
        """Logs new findings, once per topic and partitioner, and updates `text`. Called about once a second."""
        if not self._totals:
            return
        for topic, total in self._totals.items():
            guess = self._guesses[topic]
            self._asked[topic] += 1
            sure = guess != "unknown" or self._asked[topic] >= PATIENCE
            if sure and (topic, guess) not in self._said:
                self._said.add((topic, guess))
                LOGGER.warning(
                    "%s: records lie in partitions where their keys do not belong (%d so far); they are forwarded, "
                    "which costs time. %s",
                    *(topic, total, ADVICE[guess]),
                )
        self.text = ", ".join(self._texts())

    def _texts(self) -> Iterator[str]:
        for topic, total in self._totals.items():
            guess = self._guesses[topic]
            setting = "partitioner=murmur2_random" if guess == "crc32" else "the key by murmur2"
            yield f"{topic} {total} ({guess}: set {setting})"

    @staticmethod
    def _guess(keys: dict[bytes, tuple[str, ...]]) -> str:
        if len(keys) < LEAST_KEYS:
            return "unknown"
        for name in GUESSED:
            if sum(name in explained for explained in keys.values()) >= EXPLAINED * len(keys):
                return name
        return "unknown"


ADVICE = {
    "crc32": "They lie as CRC32 places them: a producer on librdkafka (kcat, confluent-kafka, node-rdkafka, "
    "Confluent's Go and .NET) with its default. Set partitioner=murmur2_random there",
    "fnv1a": "They lie as FNV-1a places them: a producer on sarama or kafka-go with its default. Use a murmur2 "
    "partitioner there (kafka-go: kafka.Murmur2Balancer{}; sarama: a partitioner made with "
    "NewCustomHashPartitioner, or franz-go)",
    "unknown": "Set each producer's partitioner to Kafka's own, murmur2 of the key (librdkafka: "
    "partitioner=murmur2_random); one that has not yet seen that a topic has grown mends itself in minutes",
}


@dataclass(frozen=True, slots=True)
class Stray:
    """The last value of a key in a partition that is no longer the key's."""

    partition: int
    key: bytes
    value: bytes


def strays(log: Log, topic: str, index: int, partitions: int) -> Iterator[Stray]:
    """Finds values outside partition `index` of `partitions` whose keys belong to it. Blocks. Raises LogUnavailable."""
    others = [partition for partition in log.partitions(topic) if partition.index != index]
    for partition, end in log.ends(others).items():
        if not end:
            continue
        found = states_of(log, partition, lambda key: partition_of(key, partitions) == index)
        for key, value in found.items():
            yield Stray(partition.index, key, value)
