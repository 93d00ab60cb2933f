"""Which archived records are of viewers who were erased: learned from the archive itself. Never writes.

An erasure is an archived record of `viewer-events`. It covers what was appended before it, and what came after it with
an event time up to its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from streaming.archive.file import by_partition
from streaming.archive.reader import Archive, TimeRange
from streaming.errors import RecordError
from streaming.events import ViewerErased
from streaming.log.codec import Decoder
from streaming.log.topics import CHAT, IMPRESSIONS, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.time_unit import in_ms
from streaming.viewer.presence import presence_of

HOLDING: Final = (VIEWER_EVENTS, CHAT, IMPRESSIONS, VIEWER_PROFILES)  # topics whose records name a viewer
WORD: Final = "erased"  # what an erasure's value holds; the few others that do are decoded too


class _Erasure(NamedTuple):
    at_ms: int  # event time
    appended_ms: int


class _Named(msgspec.Struct):
    """What names the viewer of a producer's record. The rest is not decoded."""

    type: str = ""
    viewer: str | int | float | None = None
    at_ms: int | float | str | None = None


class _Impression(msgspec.Struct, array_like=True):
    v: int
    request_id: str
    viewer: str
    rooms: msgspec.Raw
    scores: msgspec.Raw
    propensities: msgspec.Raw
    model_version: str
    at_ms: int


_NAMED: Final = msgspec.json.Decoder(_Named)
_IMPRESSION: Final = msgspec.msgpack.Decoder(_Impression)


@dataclass(frozen=True, slots=True, eq=False)
class ErasedViewers:
    """The viewers who were erased, with the newest erasure of each."""

    _newest: dict[str, _Erasure]

    def __len__(self) -> int:
        return len(self._newest)

    @property
    def version(self) -> tuple[int, int]:
        """Changes with each further erasure."""
        return len(self._newest), max((one.appended_ms for one in self._newest.values()), default=0)

    def times(self) -> dict[str, int]:
        """The event time of each viewer's newest erasure."""
        return {viewer: one.at_ms for viewer, one in self._newest.items()}

    def cover(self, viewer: str, at_ms: int | None, appended_ms: int) -> bool:
        """Whether a viewer's record was erased. at_ms: its event time, where it has one."""
        erasure = self._newest.get(viewer)
        if erasure is None:
            return False
        return appended_ms <= erasure.appended_ms or (at_ms is not None and at_ms <= erasure.at_ms)

    def covers_profile(self, key: bytes, value: bytes) -> bool:
        """Whether a serialised profile was erased."""
        return self._is_erased(VIEWER_PROFILES, key, value, 0)

    def of(self, topic: str, batch: Any) -> NDArray[np.bool_]:
        """Which records of a batch of the archive were erased, bool [N]. Erasures themselves, and tombstones, never."""
        erased_N = np.zeros(len(batch), np.bool_)
        if topic not in HOLDING or not self._newest:
            return erased_N
        for place, (key, value, appended_ms) in enumerate(_rows(batch)):
            if value is not None:
                erased_N[place] = self._is_erased(topic, key, value, appended_ms)
        return erased_N

    def _is_erased(self, topic: str, key: bytes | None, value: bytes, appended_ms: int) -> bool:
        viewer = "" if key is None or topic == CHAT else key.decode("utf-8", "replace")
        at_ms: int | None = None
        try:
            if topic in (VIEWER_EVENTS, CHAT):
                named = _NAMED.decode(value)
                if named.type.lower() == WORD:
                    return False
                viewer = viewer if named.viewer is None else _as_id(named.viewer)
                at_ms = None if named.at_ms is None else in_ms(float(named.at_ms))[0]
            elif viewer not in self._newest:
                return False
            elif topic == IMPRESSIONS:
                at_ms = _IMPRESSION.decode(value).at_ms
            else:  # a worker that was behind has published it later
                appended_ms = presence_of(value).appended_ms
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
            pass  # nobody can read it, but its key says whose it is
        return self.cover(viewer, at_ms, appended_ms)


def erased_viewers(archive: Archive) -> ErasedViewers:
    """Reads the archive's erasures. A record that the ProfileWorker refuses is none. Raises ArchiveError."""
    newest: dict[str, _Erasure] = {}
    decode = Decoder(VIEWER_EVENTS)
    for key, value, appended_ms in _suspects(archive):
        try:
            record = decode(value)
        except RecordError:
            continue
        if not isinstance(record, ViewerErased) or key != record.viewer.encode():
            continue
        known = newest.get(record.viewer, _Erasure(0, 0))
        at_ms = min(record.at_ms, appended_ms)  # it reaches no further than its arrival
        newest[record.viewer] = _Erasure(max(known.at_ms, at_ms), max(known.appended_ms, appended_ms))
    return ErasedViewers(newest)


def _suspects(archive: Archive) -> Iterator[tuple[bytes | None, bytes, int]]:
    """Key, value and append time of the records that may be erasures: found in Arrow, without Python for each."""
    for partition in by_partition(archive.files(VIEWER_EVENTS)):
        for batch in archive.read_partition(partition, TimeRange()):
            is_one = pa.compute.match_substring(batch.column("value"), WORD, ignore_case=True)
            for key, value, appended_ms in _rows(batch.filter(pa.compute.fill_null(is_one, False))):
                if value is not None:
                    yield key, value, appended_ms


def _as_id(viewer: str | float) -> str:
    """An id as it is read: a whole number is its digits."""
    return str(int(viewer)) if isinstance(viewer, float) and viewer.is_integer() else str(viewer)


def _rows(batch: Any) -> Iterator[tuple[bytes | None, bytes | None, int]]:
    times = batch.column("timestamp").cast(pa.int64()).to_pylist()
    return zip(batch.column("key").to_pylist(), batch.column("value").to_pylist(), times, strict=True)
