"""A loop is seen to turn by what it asks of its log: while it restores, while it is idle, while no broker answers."""

from __future__ import annotations

import threading

from streaming.clock import ManualClock
from streaming.log.log import Partition
from streaming.log.loop import GroupMember, Loop
from streaming.log.memory_log import MemoryLog
from streaming.log.restore import last_values
from streaming.log.watched_log import TurnCounter, WatchedLog
from streaming.metrics import MemoryMetrics
from tests.unit.streaming.log.test_loop import IN, Copy


def test_a_loop_through_it_copies_and_commits_as_without_and_beats_with_every_turn() -> None:
    clock, turn_counter = ManualClock(), TurnCounter()
    log = MemoryLog(clock, {"in": 1, "out": 1})
    producer = log.sink()
    for value in (b"a", b"b", b"stop"):
        producer.send("in", b"k", value)
    worker = Copy(threading.Event(), clock)
    Loop(WatchedLog(log, turn_counter), GroupMember("g", "0", ("in",)), worker, MemoryMetrics(), clock).run(worker.stop)
    assert [line.value for line in log.read(Partition("out", 0), 0, 99)] == [b"a", b"b", b"stop"]
    again = log.group(["in"], "g", "0")
    again.poll(0)
    assert sum(again.lag().values()) == 0
    assert turn_counter.turns >= 4  # opening the sink and the source, a poll, a commit


def test_each_poll_of_a_restore_beats() -> None:
    turn_counter = TurnCounter()
    log = MemoryLog(ManualClock(), {"in": 1})
    producer = log.sink()
    for number in range(12_000):  # three polls
        producer.send("in", b"%d" % number, b"x")
    assert len(last_values(WatchedLog(log, turn_counter), IN)) == 12_000
    assert turn_counter.turns >= 5


def test_idle_polls_and_polls_without_a_broker_beat() -> None:
    turn_counter = TurnCounter()
    log = MemoryLog(ManualClock(), {"in": 1})
    source = WatchedLog(log, turn_counter).reader([IN])
    opened = turn_counter.turns
    source.poll(0)
    log.pause()
    source.poll(0)
    assert turn_counter.turns == opened + 2
