"""Reads what a compacted partition holds: the last value of every key. Never decodes, never writes."""

from __future__ import annotations

from streaming.errors import LogUnavailable
from streaming.log import Log, Partition

POLL_S = 0.05  # the end is known only once a fetch has been answered
SILENCE_S = 15.0  # longer than a restart of a broker; then the caller begins anew


def last_values(log: Log, partition: Partition) -> dict[bytes, bytes]:
    """Last value per key, in the order in which they were written; tombstones left out.

    Blocks until the partition's end. Raises LogUnavailable.
    """
    values: dict[bytes, bytes] = {}
    if log.ends([partition])[partition] == 0:
        return values
    reader = log.reader([partition])
    try:
        while reader.lag().get(partition, 1) > 0:
            for record in reader.poll(POLL_S).records.get(partition, ()):
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
