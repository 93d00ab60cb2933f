"""The catalogue of versions on the topic `models`: which exist and which is live. Never reads the log or a file.

A version's record has the key MODEL/VERSION, so that compaction keeps one for each. Of all records with the state
`live` the newest counts: one record puts a version live, so nothing can come between. Older `live` records stay, in
their order: a rollback goes by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streaming.errors import RecordError
from streaming.events import ModelVersion
from streaming.log.codec import Decoder
from streaming.log.topics import MODELS
from training.registry.manifest import V0

MODEL = "rooms"  # the name of what has versions; topics and records leave space for another

State = Literal["live", "before", "candidate", "retired"]


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A version and its present state. state: `before` was live once, and a rollback may return to it."""

    record: ModelVersion
    state: State


class VersionCatalog:
    """The catalogue of versions, built from the records of the topic in the log's order. For one thread."""

    def __init__(self) -> None:
        self._decode = Decoder(MODELS)
        self._records: dict[str, ModelVersion] = {}  # by version, newest record last

    def apply(self, key: bytes | None, value: bytes | None) -> bool:
        """Applies a record of the topic; returns False and changes nothing where it cannot be read."""
        try:
            record = self._decode(value) if value is not None else None
        except RecordError:
            return False
        if record is None:
            name, _, version = (key or b"").decode("utf-8", "replace").partition("/")
            if name == MODEL:
                self._records.pop(version, None)
        elif record.name == MODEL:
            self._records.pop(record.version, None)
            self._records[record.version] = record
        return True

    @property
    def live(self) -> ModelVersion | None:
        """The version that is to answer; None for v0, the baseline ranker."""
        ever = self._went_live()
        return ever[0] if ever and ever[0].version != V0 else None

    @property
    def before(self) -> ModelVersion | None:
        """The version that was live before the live one and is not retired; None for v0."""
        past = self._went_live()[1:]
        return past[0] if past and past[0].version != V0 else None

    @property
    def candidate(self) -> ModelVersion | None:
        """The newest version that waits to go live; None where the newest of all went live since."""
        newest = next(reversed(self._records.values()), None)
        return newest if newest is not None and newest.state == "candidate" else None

    def find(self, version: str) -> CatalogEntry | None:
        """The entry of a version by its name, None where it is unknown; v0 is always there."""
        return next((listed for listed in self.versions() if listed.record.version == version), None)

    def versions(self) -> list[CatalogEntry]:
        """All versions, the newest record first; v0 at the end unless it has a record."""
        live = self.live
        listed = [CatalogEntry(record, self._state(record, live)) for record in reversed(self._records.values())]
        if V0 not in self._records:
            listed.append(CatalogEntry(v0_record("candidate", 0), "live" if live is None else "before"))
        return listed

    def _state(self, record: ModelVersion, live: ModelVersion | None) -> State:
        is_live = record is live or (live is None and record.version == V0)
        if is_live:
            return "live"
        return "before" if record.state == "live" else record.state

    def _went_live(self) -> list[ModelVersion]:
        return [record for record in reversed(self._records.values()) if record.state == "live"]


def v0_record(state: Literal["candidate", "live"], at_ms: int) -> ModelVersion:
    """The record of v0, the baseline ranker: with the state `live` it returns to answers without a model."""
    return ModelVersion(name=MODEL, version=V0, path="", state=state, metrics={}, at_ms=at_ms)


def key_of(record: ModelVersion) -> bytes:
    """The key of a version's record on the topic."""
    return f"{record.name}/{record.version}".encode()
