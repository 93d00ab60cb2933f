"""Watches topics' shapes: number of partitions and making. Never reads a record, never asks a broker itself.

It reads the consumer's own metadata, renewed every few seconds, where kafka-python's default is five minutes.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from streaming.broker.admin import made_of
from streaming.log.log import TopicShape


class ShapeWatch:
    """The shapes of topics in a consumer's metadata. `moved` is for the consumer's own thread."""

    def __init__(self, consumer: Any, max_age_s: float) -> None:
        self._cluster = consumer._cluster
        self._beside: frozenset[str] = frozenset()
        self._known: dict[str, TopicShape] = {}
        self._seen: Any = None  # the metadata read last: each answer makes a new object
        self._doubted: dict[str, Any] = {}  # by topic, the metadata at the moment of doubt
        config = self._cluster.config
        config["metadata_max_age_ms"] = min(config["metadata_max_age_ms"], int(max_age_s * 1000))
        self._set_topics, self._cluster.set_topics = self._cluster.set_topics, self._ask_for_more

    def also(self, topics: Collection[str]) -> None:
        """Also watches these topics, beside those that are read."""
        self._beside = frozenset(topics)

    def known(self, topic: str) -> TopicShape:
        """A topic's last known shape; 0 partitions where it was never seen."""
        return self._known.get(topic) or TopicShape(0)

    def expect(self, shapes: Mapping[str, TopicShape]) -> None:
        """Sets the shapes that the reader assumes: any other one counts as moved."""
        self._known.update(shapes)

    def doubt(self, *topics: str) -> None:
        """Marks topics, or all where none is named, as possibly made anew; requests new metadata.

        The cause is a broker without one of the partitions, or a long time without a request. Until newer metadata
        come, the making of records from these topics is unknown. For the thread that learns of it.
        """
        self._doubted |= dict.fromkeys(topics or self._known, self._cluster._partitions)
        self._cluster.request_update()

    def doubted(self, topic: str) -> bool:
        """Whether `moved` has seen no metadata newer than the doubt."""
        return topic in self._doubted

    def in_doubt(self) -> bool:
        """Whether any topic is doubted."""
        return bool(self._doubted)

    def settled(self, topics: Collection[str], timeout_s: float) -> set[str]:
        """Waits, at most timeout_s, until none of these is doubted; returns the topics that have `moved` meanwhile."""
        found: set[str] = set()
        deadline = time.monotonic() + timeout_s
        while any(map(self.doubted, topics)):
            found |= self.moved()
            if time.monotonic() >= deadline:
                break
            time.sleep(0.002)
        return found

    def moved(self) -> set[str]:
        """Topics whose shape has changed since the last call. A topic that is gone has moved once it is back."""
        seen = self._cluster._partitions
        if seen is self._seen:
            return set()
        self._seen = seen
        found: set[str] = set()
        for topic, partitions in list(seen.items()):
            now, before = TopicShape(len(partitions), made_of(self._cluster.topic_id(topic))), self._known.get(topic)
            if not partitions or (before and before.made == now.made and now.partitions < before.partitions):
                continue  # it is gone for now, or the broker does not know of its growth yet
            self._known[topic] = now
            if self._doubted.get(topic, seen) is not seen:
                del self._doubted[topic]
            if before is not None and before != now:
                found.add(topic)
        return found

    def _ask_for_more(self, topics: Collection[str]) -> Any:
        return self._set_topics({*topics, *self._beside})
