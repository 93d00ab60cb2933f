"""The makings of topics in the archive: a topic that is made anew continues there after its old records.

Its log begins again at offset 0. So the archive's offset of a record is the log's plus that of the making's first
record. No two records have the same, and readers need not know of makings. Never reads or writes a record.

    _made/chat/000001.json    {"made": 123, "first": {"0": 5000, "3": 4810}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from streaming.archive.store import Store
from streaming.errors import ArchiveError, BadArchiveFile
from streaming.log.log import Partition, TopicShape

FOLDER = "_made"  # readers of Parquet ignore names that begin with _
_PATH = re.compile(rf"{FOLDER}/(?P<topic>[A-Za-z0-9._-]+)/(?P<number>\d{{6}})\.json")


@dataclass(frozen=True, slots=True)
class ArchivedLife:
    """One life of a topic. first: by partition, the archive's offset of the log's offset 0; 0 if absent."""

    number: int
    made: int
    first: Mapping[int, int] = field(default_factory=dict)


class ArchivedLives:
    """The makings of all topics of an archive. For one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def current(
        self, topic: str, shape: TopicShape, known: Mapping[Partition, int], ends: Mapping[Partition, int]
    ) -> tuple[ArchivedLife, bool]:
        """The log's current making, and whether it is new in the archive, after another one.

        known: the archive's next offsets; ends: the log's ends. Two Archivers agree, because the first to write the
        making decides. Raises ArchiveError.
        """
        found = self._read(topic)
        first = {p.index: offset for p, offset in known.items() if p.topic == topic}
        if found is None:
            found = ArchivedLife(0, shape.made)
            if not self._is_behind(topic, found, first, ends):
                return self._write(topic, found), False
        lost = self._is_behind(topic, found, first, ends)
        if lost or (shape.made and found.made and shape.made != found.made):
            return self._write(topic, ArchivedLife(found.number + 1, shape.made, first)), True
        return found, False

    @staticmethod
    def _is_behind(topic: str, making: ArchivedLife, known: Mapping[int, int], ends: Mapping[Partition, int]) -> bool:
        """Whether the log ends before the archive's records of it, and so has lost them."""
        return any(
            known.get(p.index, 0) - making.first.get(p.index, 0) > end for p, end in ends.items() if p.topic == topic
        )

    def _read(self, topic: str) -> ArchivedLife | None:
        found = [match for entry in self._store.list(f"{FOLDER}/{topic}") if (match := _PATH.fullmatch(entry.path))]
        if not found:
            return None
        newest = max(found, key=lambda match: match["number"])
        try:
            with self._store.open(newest.group()) as file:
                said = json.loads(file.read())
            first = {int(index): int(offset) for index, offset in said["first"].items()}
            return ArchivedLife(int(newest["number"]), int(said["made"]), first)
        except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError) as err:
            raise BadArchiveFile(
                f"{newest.group()} of the archive {self._store.masked_uri} is damaged ({err}): it says where the "
                "topic's offsets begin. Restore it from a copy"
            ) from err

    def _write(self, topic: str, making: ArchivedLife) -> ArchivedLife:
        said = {"made": making.made, "first": {str(index): offset for index, offset in making.first.items()}}
        data = json.dumps(said, sort_keys=True).encode()
        if not self._store.put(f"{FOLDER}/{topic}/{making.number:06}.json", data):
            known = self._read(topic)
            if known is None:
                raise ArchiveError(f"the archive {self._store.masked_uri} changes while it is opened; try again")
            return known
        return making


def is_life_file(path: str) -> bool:
    """Whether a path is that of a making's file."""
    return _PATH.fullmatch(path) is not None
