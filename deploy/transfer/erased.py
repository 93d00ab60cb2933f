"""The viewers who were erased here, as far as this installation remembers. Never erases anybody.

It remembers in three places: marks and tombstones among the profiles (a week and more), the erasures themselves among
the viewers' events (as long as that topic is kept, a week by default), and the archive, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable

from deploy.transfer.kept import profile_of
from deploy.transfer.newest import records_to
from streaming.archive.reader import Archive
from streaming.errors import RecordError
from streaming.events import ViewerErased
from streaming.log.codec import Decoder
from streaming.log.log import Log
from streaming.log.topics import VIEWER_EVENTS, VIEWER_PROFILES

WORD = b"erased"  # what an erasure's value holds


class ErasedHere:
    """The newest erasure of each viewer, in ms since the epoch: of the event, or of the tombstone."""

    def __init__(self) -> None:
        self._until_ms: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._until_ms)

    def add(self, viewer: bytes, until_ms: int) -> None:
        """Notes an erasure."""
        self._until_ms[viewer] = max(until_ms, self._until_ms.get(viewer, 0))

    def forbids(self, viewer: bytes, profile: bytes) -> bool:
        """Whether a serialised profile holds anything from before the viewer's erasure. Raises RecordError."""
        until_ms = self._until_ms.get(viewer)
        if until_ms is None:
            return False
        known = profile_of(profile)
        return known.erased_ms < until_ms and known.first_at_ms <= until_ms


def erased_here(log: Log, archive: Archive | None, seen: Callable[[int], None]) -> ErasedHere:
    """Reads who was erased. seen: is told how many records were read. Raises LogError, ArchiveError."""
    found = ErasedHere()
    _add_events(found, log, seen)
    _add_profiles(found, log, seen)
    if archive is not None:
        _add_archived(found, archive)
    return found


def _add_events(found: ErasedHere, log: Log, seen: Callable[[int], None]) -> None:
    decode = Decoder(VIEWER_EVENTS)
    for partition, end in log.ends(log.partitions(VIEWER_EVENTS)).items():
        for records in records_to(log, partition, end):
            for record in records:
                if record.value is None or WORD not in record.value:
                    continue
                try:
                    event = decode(record.value)
                except RecordError:
                    continue  # the worker has put it on dead-letter
                if isinstance(event, ViewerErased):
                    found.add(event.viewer.encode(), min(event.at_ms, record.timestamp))
            seen(len(records))


def _add_profiles(found: ErasedHere, log: Log, seen: Callable[[int], None]) -> None:
    for partition, end in log.ends(log.partitions(VIEWER_PROFILES)).items():
        for records in records_to(log, partition, end):
            for record in records:
                if record.key is None:
                    continue
                if record.value is None:
                    found.add(record.key, record.timestamp)
                elif (erased_ms := _erased_ms(record.value)) > 0:
                    found.add(record.key, erased_ms)
            seen(len(records))


def _erased_ms(value: bytes) -> int:
    try:
        return profile_of(value).erased_ms
    except RecordError:
        return 0


def _add_archived(found: ErasedHere, archive: Archive) -> None:
    from streaming.archive.erasures import erased_viewers  # noqa: PLC0415  pyarrow.compute

    for viewer, at_ms in erased_viewers(archive).times().items():
        found.add(viewer.encode(), at_ms)
