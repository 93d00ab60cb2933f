"""Owns of which making of a topic the archive's offsets are: a topic that is made anew goes on where it ended there.

The log begins again at offset 0 then. The archive's offset of a record is the log's plus that of the making's first, so
that no two records have the same, and readers need not know. Never reads or writes a record.

    _made/chat/000001.json    {"made": 123, "first": {"0": 5000, "3": 4810}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from streaming.archive.store import Store
from streaming.errors import ArchiveError, BadArchiveFile
from streaming.log import Partition, TopicShape

FOLDER = "_made"  # readers of Parquet leave out what begins so
_PATH = re.compile(rf"{FOLDER}/(?P<topic>[A-Za-z0-9._-]+)/(?P<number>\d{{6}})\.json")


@dataclass(frozen=True, slots=True)
class Making:
    """One life of a topic. first: of each partition, the archive's offset of the log's offset 0; 0 where not named."""

    number: int
    made: int
    first: Mapping[int, int] = field(default_factory=dict)


class Makings:
    """The makings of every topic that an archive holds. For one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def current(
        self, topic: str, shape: TopicShape, known: Mapping[Partition, int], ends: Mapping[Partition, int]
    ) -> tuple[Making, bool]:
        """The making that the log holds now, and whether it is one that begins now, after another.

        known: where the archive goes on, in its offsets; ends: the log's. Two Archivers agree: the first that writes it
        down is right. Raises ArchiveError.
        """
        found = self._read(topic)
        first = {p.index: offset for p, offset in known.items() if p.topic == topic}
        if found is None:
            found = Making(0, shape.made)
            if not self._is_behind(topic, found, first, ends):
                return self._write(topic, found), False
        lost = self._is_behind(topic, found, first, ends)
        if lost or (shape.made and found.made and shape.made != found.made):
            return self._write(topic, Making(found.number + 1, shape.made, first)), True
        return found, False

    @staticmethod
    def _is_behind(topic: str, making: Making, known: Mapping[int, int], ends: Mapping[Partition, int]) -> bool:
        """Whether the log ends before what the archive has of it: it has lost that."""
        return any(
            known.get(p.index, 0) - making.first.get(p.index, 0) > end for p, end in ends.items() if p.topic == topic
        )

    def _read(self, topic: str) -> Making | None:
        found = [match for entry in self._store.list(f"{FOLDER}/{topic}") if (match := _PATH.fullmatch(entry.path))]
        if not found:
            return None
        newest = max(found, key=lambda match: match["number"])
        try:
            with self._store.open(newest.group()) as file:
                said = json.loads(file.read())
            first = {int(index): int(offset) for index, offset in said["first"].items()}
            return Making(int(newest["number"]), int(said["made"]), first)
        except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError) as err:
            raise BadArchiveFile(
                f"{newest.group()} of the archive {self._store.shown} is damaged ({err}): it says where the topic's "
                "offsets begin. Restore it from a copy"
            ) from err

    def _write(self, topic: str, making: Making) -> Making:
        said = {"made": making.made, "first": {str(index): offset for index, offset in making.first.items()}}
        data = json.dumps(said, sort_keys=True).encode()
        if not self._store.put(f"{FOLDER}/{topic}/{making.number:06}.json", data):
            known = self._read(topic)
            if known is None:
                raise ArchiveError(f"the archive {self._store.shown} changes while it is opened; try again")
            return known
        return making


def is_making(path: str) -> bool:
    """Whether a path is of such a file."""
    return _PATH.fullmatch(path) is not None
