"""Tests of actors.worker.unrestored: when a partition that could not be read back is tried again."""

from __future__ import annotations

import pytest

from actors.worker.unrestored import FIRST_RETRY_MS, MAX_RETRY_MS, Unrestored
from streaming.clock import ManualClock
from streaming.errors import LogUnavailable
from streaming.log.log import Partition
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import ROOM_STATES
from streaming.troubles import Trouble

BAD = Trouble(ROOM_STATES, 0, 0, "damaged", "offset 0: a batch fails its checksum")


def test_it_is_tried_ever_more_seldom_and_ends_the_session_once_it_can_be_read() -> None:
    clock = ManualClock()
    log = MemoryLog(clock, {ROOM_STATES: 1})
    sink = log.sink()
    sink.send(ROOM_STATES, b"r", b"state")
    sink.flush()
    log.trouble(BAD)
    unrestored = Unrestored(clock)
    unrestored.add(0, BAD)
    for pause_ms in (*(FIRST_RETRY_MS << n for n in range(6)), MAX_RETRY_MS):
        clock.advance(pause_ms - 1)
        before = unrestored._due_ms[0]
        unrestored.retry(log, ROOM_STATES)
        assert unrestored._due_ms[0] == before, "it is not due yet"
        clock.advance(1)
        unrestored.retry(log, ROOM_STATES)
        assert unrestored._due_ms[0] > before
    assert list(unrestored.troubles) == [BAD]
    log.mend(Partition(ROOM_STATES, 0))
    clock.advance(MAX_RETRY_MS)
    with pytest.raises(LogUnavailable, match="can be read again"):
        unrestored.retry(log, ROOM_STATES)
