"""Watches what topics are like: how many partitions, which making. Never reads a record, never asks a broker itself.

The consumer's own metadata say it; they are asked for every few seconds, where kafka-python's default is five minutes.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from streaming.broker.admin import made_of
from streaming.log import TopicShape


class ShapeWatch:
    """What a consumer's metadata say of topics. `moved` is for the consumer's own thread."""

    def __init__(self, consumer: Any, max_age_s: float) -> None:
        self._cluster = consumer._cluster
        self._beside: frozenset[str] = frozenset()
        self._known: dict[str, TopicShape] = {}
        self._seen: Any = None  # the metadata looked at last: each answer makes a new object
        self._doubted: dict[str, Any] = {}  # with the metadata of that moment
        config = self._cluster.config
        config["metadata_max_age_ms"] = min(config["metadata_max_age_ms"], int(max_age_s * 1000))
        self._set_topics, self._cluster.set_topics = self._cluster.set_topics, self._ask_for_more

    def also(self, topics: Collection[str]) -> None:
        """Watches these too, beside those that are read."""
        self._beside = frozenset(topics)

    def known(self, topic: str) -> TopicShape:
        """As it was last seen; 0 partitions where it never was."""
        return self._known.get(topic) or TopicShape(0)

    def expect(self, shapes: Mapping[str, TopicShape]) -> None:
        """What whoever reads takes for granted: another shape than this is a move."""
        self._known.update(shapes)

    def doubt(self, *topics: str) -> None:
        """These may be others by now, or all where none is named: a broker said that a partition is not there, or
        nobody has asked one for a while. What comes of them belongs to nobody knows which making.

        For the thread that hears it.
        """
        self._doubted |= dict.fromkeys(topics or self._known, self._cluster._partitions)
        self._cluster.request_update()

    def doubted(self, topic: str) -> bool:
        """Whether no metadata newer than the doubt have been seen by `moved`."""
        return topic in self._doubted

    def in_doubt(self) -> bool:
        """Whether any is."""
        return bool(self._doubted)

    def settled(self, topics: Collection[str], timeout_s: float) -> set[str]:
        """Waits until none of these is doubted, if that comes in time; gives what has `moved` meanwhile."""
        found: set[str] = set()
        deadline = time.monotonic() + timeout_s
        while any(map(self.doubted, topics)):
            found |= self.moved()
            if time.monotonic() >= deadline:
                break
            time.sleep(0.002)
        return found

    def moved(self) -> set[str]:
        """Topics whose shape is another than when it was last seen. One that is gone has moved once it is back."""
        seen = self._cluster._partitions
        if seen is self._seen:
            return set()
        self._seen = seen
        found: set[str] = set()
        for topic, partitions in list(seen.items()):
            now, before = TopicShape(len(partitions), made_of(self._cluster.topic_id(topic))), self._known.get(topic)
            if not partitions or (before and before.made == now.made and now.partitions < before.partitions):
                continue  # it is gone for now, or a broker does not know of its growth yet
            self._known[topic] = now
            if self._doubted.get(topic, seen) is not seen:
                del self._doubted[topic]
            if before is not None and before != now:
                found.add(topic)
        return found

    def _ask_for_more(self, topics: Collection[str]) -> Any:
        return self._set_topics({*topics, *self._beside})
