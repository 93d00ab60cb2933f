"""What a worker reads of another process's partitions before it takes over from it. Never joins a group."""

from __future__ import annotations

import logging
from typing import Any

from streaming.errors import Unreadable
from streaming.log.log import LiveMember, Log, Partition
from streaming.log.restore import AnyReadAhead

LOGGER = logging.getLogger(__name__)


def reads_ahead(ahead: AnyReadAhead[Any], log: Log, topic: str, other: LiveMember) -> bool:
    """Reads the states of the partitions that another process has; whether all of them can be read.

    topic: where the states are published. Blocks. Raises LogUnavailable.
    """
    indices = sorted({partition.index for partition in other.partitions})
    try:
        ahead.read(log, [Partition(topic, index) for index in indices])
    except Unreadable as err:
        LOGGER.warning("nothing is taken over from the process at %s: %s", other.host, err)
        return False
    return True
