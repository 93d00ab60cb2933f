from __future__ import annotations

import pytest

from actors.intake.write_turns import WriteTurns
from streaming.clock import ManualClock
from streaming.errors import LogUnavailable
from streaming.log.log import Partition
from streaming.log.memory_log import MemoryLog, MemorySink
from streaming.log.topics import RULES


class UnsteadyLog(MemoryLog):
    """A log whose first sink is never acknowledged, though it writes."""

    sinks = 0

    def sink(self, transactional_id: str | None = None) -> MemorySink:
        self.sinks += 1
        made = super().sink(transactional_id)
        if self.sinks == 1:
            written = made.flush

            def flush() -> None:
                written()
                raise LogUnavailable("no broker answers")

            made.flush = flush  # type: ignore[method-assign]
        return made


def test_a_write_that_fails_says_so_and_the_next_one_has_another_sink() -> None:
    log = UnsteadyLog(ManualClock(), {RULES: 1})
    turns = WriteTurns(log, "rule")
    with pytest.raises(LogUnavailable, match="the rule could not be written: no broker"):
        put(turns, b"1")
    put(turns, b"2")
    put(turns, b"3")
    assert log.sinks == 2
    assert [record.value for record in log.read(Partition(RULES, 0), 0, 10)] == [b"1", b"2", b"3"]


def test_a_bug_ends_a_turn_and_not_the_next_one() -> None:
    log = MemoryLog(ManualClock(), {RULES: 1})
    turns = WriteTurns(log, "rule")
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    put(turns, b"1")
    assert [record.value for record in log.read(Partition(RULES, 0), 0, 10)] == [b"1"]


def put(turns: WriteTurns, value: bytes) -> None:
    with turns.turn() as sink:
        sink.send(RULES, b"a", value)
