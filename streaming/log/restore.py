"""Reads a compacted partition: the last value of every key. Never writes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streaming.errors import LogUnavailable, UnknownVersion, Unreadable
from streaming.log.codec import Decoder
from streaming.log.log import Log, Partition
from streaming.troubles import Skipped, Trouble

LOGGER = logging.getLogger(__name__)

POLL_S = 0.05  # the end is known only once a fetch has been answered
HELD_S = 1.5  # the transaction of a previous writer ends in milliseconds
SILENCE_S = 15.0  # longer than a restart of a broker; then the caller begins anew


@dataclass(slots=True)
class _Values:
    """What was read of a partition. next_offset: of the record after it. made: the making of the topic."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    next_offset: int = 0
    made: int = 0


class ReadAhead:
    """Values of partitions that are another process's, read so that a take-over reads only what came since.

    For one thread. They are in memory as on the log until they are taken or dropped.
    """

    def __init__(self) -> None:
        self._found: dict[Partition, _Values] = {}

    def read(self, log: Log, partitions: Sequence[Partition]) -> None:
        """Reads the partitions to their present ends, from where the last call left off; others are dropped.

        Does not wait for a transaction that is open: its process works on. Blocks. Raises LogUnavailable, Unreadable.
        """
        for partition in self._found.keys() - set(partitions):
            del self._found[partition]
        for partition in partitions:
            values = self.take(log, partition)
            _read_on(log, partition, values, _say, waits_for_held=False)
            _require_known_versions(partition, values)
            self._found[partition] = values

    def take(self, log: Log, partition: Partition) -> _Values:
        """What is known of a partition, for the caller to read on. Nothing is known after its topic was made anew."""
        made = log.shapes([partition.topic])[partition.topic].made
        known = self._found.pop(partition, None)
        return known if known is not None and known.made == made else _Values(made=made)

    def drop(self) -> None:
        """Forgets everything."""
        self._found.clear()


def last_values(
    log: Log,
    partition: Partition,
    lost: Callable[[Skipped], None] | None = None,
) -> dict[bytes, bytes]:
    """Reads the last value per key, in the order in which they were written, without tombstones.

    lost: called with offsets that were skipped because they are damaged; by default they are logged. Blocks until the
    partition's end. Raises LogUnavailable, Unreadable: also where an open transaction hides the newest values.
    """
    found = _Values()
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
    found = _Values() if ahead is None else ahead.take(log, partition)
    _read_on(log, partition, found, lost or _say)
    _require_known_versions(partition, found)
    return found.values


def _require_known_versions(partition: Partition, found: _Values) -> None:
    """Raises Unreadable where one of the values has a version that this build does not read."""
    decoder = Decoder(partition.topic)
    for value in found.values.values():
        try:
            decoder.require_known_version(value)
        except UnknownVersion as err:
            message = f"{err}. Another build has written it; it is left as it is until a build reads it that can"
            raise Unreadable(Trouble(*partition, -1, "version", message)) from err


def _read_on(
    log: Log, partition: Partition, found: _Values, lost: Callable[[Skipped], None], *, waits_for_held: bool = True
) -> None:
    """Reads a partition to its end, from where `found` ends."""
    end = log.ends([partition])[partition]
    if end < found.next_offset:  # its broker has lost records
        found.values.clear()
        found.next_offset = 0
    if end == 0:
        return
    reader = log.reader([partition], {partition: found.next_offset} if found.next_offset else "beginning")
    values = found.values
    try:
        held_since_s: float | None = None
        while (behind := reader.lag().get(partition, 1) > 0) or (waits_for_held and partition in reader.held()):
            now_s = time.monotonic()
            held_since_s = None if behind else held_since_s or now_s
            if held_since_s is not None and now_s - held_since_s > HELD_S:
                raise Unreadable(_held(partition, log.ends([partition])[partition]))
            batch = reader.poll(POLL_S)
            for skipped in batch.skipped:
                lost(skipped)
            for trouble in reader.troubles():
                if trouble.unreadable:
                    raise Unreadable(trouble)
            for record in batch.records.get(partition, ()):
                found.next_offset = record.offset + 1
                if record.key is None:
                    continue
                values.pop(record.key, None)
                if record.value is not None:
                    values[record.key] = record.value
            if reader.contact_age_s() > SILENCE_S:
                raise LogUnavailable(
                    f"no broker answers while {partition.topic} partition {partition.index} is read back"
                )
    finally:
        reader.close()


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
