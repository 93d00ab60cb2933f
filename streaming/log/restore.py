"""Reads a compacted partition: the last value of every key. Never writes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from streaming.errors import LogUnavailable, UnknownVersion, Unreadable
from streaming.log.codec import Decoder
from streaming.log.log import Log, Partition, Record
from streaming.log.topics import TOPICS
from streaming.troubles import Skipped, Trouble

LOGGER = logging.getLogger(__name__)

POLL_S = 0.05  # the end is known only once a fetch has been answered
HELD_S = 1.5  # the transaction of a previous writer ends in milliseconds
SILENCE_S = 15.0  # longer than a restart of a broker; then the caller begins anew


class Values(Protocol):
    """Where the last values of a partition's keys are put, in the order in which they were written."""

    def pop(self, key: bytes, default: None, /) -> object:
        """Removes a key: something newer was written of it."""

    def __setitem__(self, key: bytes, value: bytes, /) -> None: ...

    def clear(self) -> None:
        """Forgets everything: the log begins anew."""


V = TypeVar("V", bound=Values)


@dataclass(slots=True)
class Restored(Generic[V]):
    """What was read of a partition. next_offset: of the record after it. made: the making of the topic.

    unknown: keys whose last value has a version that this build does not read, and what is wrong with it.
    """

    values: V
    next_offset: int = 0
    made: int = 0
    unknown: dict[bytes, UnknownVersion] = field(default_factory=dict)

    def take(self, records: Sequence[Record], require_known_version: Callable[[bytes], None]) -> None:
        """Takes the next records."""
        values, unknown = self.values, self.unknown
        for record in records:
            self.next_offset = record.offset + 1
            key, value = record.key, record.value
            if key is None:
                continue
            values.pop(key, None)
            if unknown:
                unknown.pop(key, None)
            if value is None:
                continue
            values[key] = value
            try:
                require_known_version(value)
            except UnknownVersion as err:
                unknown[key] = err


class AnyReadAhead(Generic[V]):
    """Values of partitions that are another process's, read so that a take-over reads only what came since.

    For one thread. They are kept until they are taken or dropped.
    """

    def __init__(self, make: Callable[[Partition, int], Restored[V]], discard: Callable[[V], None]) -> None:
        """make: where a partition of this making of its topic is read to. discard: called with what is not needed."""
        self._make = make
        self._discard = discard
        self._found: dict[Partition, Restored[V]] = {}

    def read(self, log: Log, partitions: Sequence[Partition]) -> None:
        """Reads the partitions to their present ends, from where the last call left off; others are dropped.

        Does not wait for a transaction that is open: its process works on. Blocks. Raises LogUnavailable, Unreadable.
        """
        for partition in self._found.keys() - set(partitions):
            self._discard(self._found.pop(partition).values)
        for partition in partitions:
            found = self._found[partition] = self.take(log, partition)
            _read_on(log, partition, found, _say, waits_for_held=False)
            _require_known_versions(partition, found)

    def take(self, log: Log, partition: Partition) -> Restored[V]:
        """What is known of a partition, for the caller to read on. Nothing is known after its topic was made anew."""
        made = log.shapes([partition.topic])[partition.topic].made
        known = self._found.pop(partition, None)
        if known is not None and known.made == made:
            return known
        if known is not None:
            self._discard(known.values)
        return self._make(partition, made)

    def drop(self) -> None:
        """Forgets everything."""
        for found in self._found.values():
            self._discard(found.values)
        self._found.clear()


class ReadAhead(AnyReadAhead[dict[bytes, bytes]]):
    """Values that are read ahead into memory."""

    def __init__(self) -> None:
        super().__init__(lambda _, made: Restored({}, made=made), lambda _: None)


def last_values(
    log: Log,
    partition: Partition,
    lost: Callable[[Skipped], None] | None = None,
) -> dict[bytes, bytes]:
    """Reads the last value per key, in the order in which they were written, without tombstones.

    lost: called with offsets that were skipped because they are damaged; by default they are logged. Blocks until the
    partition's end. Raises LogUnavailable, Unreadable: also where an open transaction hides the newest values.
    """
    found: Restored[dict[bytes, bytes]] = Restored({})
    _read_on(log, partition, found, lost or _say)
    return found.values


def last_states(
    log: Log,
    partition: Partition,
    lost: Callable[[Skipped], None] | None = None,
    ahead: ReadAhead | None = None,
) -> dict[bytes, bytes]:
    """Reads the last values of a partition whose states the caller will write anew. ahead: what was read before.

    Raises Unreadable as well where another build has written one whose version this build does not read: it must not
    be overwritten.
    """
    found: Restored[dict[bytes, bytes]] = Restored({}) if ahead is None else ahead.take(log, partition)
    read_states(log, partition, found, lost)
    return found.values


def read_states(
    log: Log, partition: Partition, found: Restored[V], lost: Callable[[Skipped], None] | None = None
) -> None:
    """`last_states`, to where the caller wants them, from where `found` ends. Raises as that does."""
    _read_on(log, partition, found, lost or _say)
    _require_known_versions(partition, found)


def states_of(log: Log, partition: Partition, wanted: Callable[[bytes], bool]) -> dict[bytes, bytes]:
    """`last_states` of some keys: no others are kept in memory, not for a moment."""
    found = Restored(_Some(wanted))
    read_states(log, partition, found)
    return found.values


class _Some(dict[bytes, bytes]):
    """Keeps only the keys that are wanted."""

    def __init__(self, wanted: Callable[[bytes], bool]) -> None:
        super().__init__()
        self._wanted = wanted

    def __setitem__(self, key: bytes, value: bytes) -> None:
        if self._wanted(key):
            super().__setitem__(key, value)


def _require_known_versions(partition: Partition, found: Restored[V]) -> None:
    """Raises Unreadable where one of the values has a version that this build does not read."""
    for err in found.unknown.values():
        message = f"{err}. Another build has written it; it is left as it is until a build reads it that can"
        raise Unreadable(Trouble(*partition, -1, "version", message)) from err


def _read_on(
    log: Log, partition: Partition, found: Restored[V], lost: Callable[[Skipped], None], *, waits_for_held: bool = True
) -> None:
    """Reads a partition to its end, from where `found` ends; from its beginning where records between are deleted."""
    end = log.ends([partition])[partition]
    if end < found.next_offset:  # its broker has lost records
        _begin_anew(found)
    if end == 0:
        return
    while not _read_to_end(log, partition, found, lost, waits_for_held=waits_for_held):
        _begin_anew(found)


def _begin_anew(found: Restored[V]) -> None:
    found.values.clear()
    found.unknown.clear()
    found.next_offset = 0


def _read_to_end(
    log: Log, partition: Partition, found: Restored[V], lost: Callable[[Skipped], None], *, waits_for_held: bool
) -> bool:
    """Reads to the end. False: the log no longer has the record from which it is to be read on."""
    first = found.next_offset
    reader = log.reader([partition], {partition: first} if first else "beginning")
    topic = TOPICS.get(partition.topic)
    check = Decoder(topic.name).require_known_version if topic is not None else _accept
    try:
        held_since_s: float | None = None
        while (behind := reader.lag().get(partition, 1) > 0) or (waits_for_held and partition in reader.held()):
            now_s = time.monotonic()
            held_since_s = None if behind else held_since_s or now_s
            if held_since_s is not None and now_s - held_since_s > HELD_S:
                raise Unreadable(_held(partition, log.ends([partition])[partition]))
            batch = reader.poll(POLL_S)
            for skipped in batch.skipped:
                if first and skipped.first == first and skipped.cause == "deleted":
                    return False
                lost(skipped)
            for trouble in reader.troubles():
                if trouble.unreadable:
                    raise Unreadable(trouble)
            found.take(batch.records.get(partition, ()), check)
            if reader.contact_age_s() > SILENCE_S:
                raise LogUnavailable(
                    f"no broker answers while {partition.topic} partition {partition.index} is read back"
                )
    finally:
        reader.close()
    return True


def _accept(_: bytes) -> None:
    """Accepts the values of a topic that is not ours."""


def _held(partition: Partition, end: int) -> Trouble:
    message = (
        f"offset {end}: a producer's transaction that is open since then keeps back what was written last. It is read "
        "once that producer has committed or aborted; who it is, a replica or the archiver says after 10 s"
    )
    return Trouble(partition.topic, partition.index, end, "held", message)


def _say(skipped: Skipped) -> None:
    offsets = skipped.first, skipped.last
    LOGGER.warning(
        "%s partition %d: offsets %d to %d are lost: %s", skipped.topic, skipped.partition, *offsets, skipped.why
    )
