"""Reads a compacted partition: the last value of every key. Never decodes, never writes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streaming.errors import LogUnavailable, Unreadable
from streaming.log.log import Log, Partition
from streaming.troubles import Skipped, Trouble

LOGGER = logging.getLogger(__name__)

POLL_S = 0.05  # the end is known only once a fetch has been answered
HELD_S = 1.5  # the transaction of a previous writer ends in milliseconds
SILENCE_S = 15.0  # longer than a restart of a broker; then the caller begins anew


def last_values(log: Log, partition: Partition, lost: Callable[[Skipped], None] | None = None) -> dict[bytes, bytes]:
    """Reads the last value per key, in the order in which they were written, without tombstones.

    lost: called with offsets that were skipped because they are damaged; by default they are logged. Blocks until the
    partition's end. Raises LogUnavailable, Unreadable: also where an open transaction hides the newest values.
    """
    lost = lost or _say
    values: dict[bytes, bytes] = {}
    if log.ends([partition])[partition] == 0:
        return values
    reader = log.reader([partition])
    try:
        held_since_s: float | None = None
        while (behind := reader.lag().get(partition, 1) > 0) or partition in reader.held():
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
    return values


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
