"""Tests of how a reader says what is wrong with its partitions. Never opens a real log."""

from __future__ import annotations

import logging

import pytest

from streaming.clock import SystemClock
from streaming.log.log import Partition
from streaming.log.memory_log import MemoryLog
from streaming.metrics import MemoryMetrics
from streaming.troubles import Skipped, Trouble, Troubles

CODEC = Trouble("chat", 1, 40, "codec", "a batch that cannot be unpacked")
HELD = Trouble("rooms", 0, 7, "held", "an open transaction")


def test_a_trouble_is_said_once_however_often_it_is_found(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    troubles = Troubles("room-workers", MemoryMetrics())
    for _ in range(3):
        troubles.update([CODEC])
    assert [record.getMessage() for record in caplog.records] == [
        "room-workers: chat partition 1: a batch that cannot be unpacked"
    ]
    assert [(trouble.offset, trouble.reader) for trouble in troubles.now] == [(40, "room-workers")]


def test_the_end_of_a_trouble_is_said_and_reads_zero(caplog: pytest.LogCaptureFixture) -> None:
    metrics = MemoryMetrics()
    troubles = Troubles("replica", metrics)
    troubles.update([CODEC, HELD])
    assert metrics.value("log_partition_troubles", reader="replica", topic="chat", kind="codec") == 1
    caplog.clear()
    troubles.update([HELD])
    assert [record.getMessage() for record in caplog.records] == ["replica: chat partition 1: no longer codec"]
    assert metrics.value("log_partition_troubles", reader="replica", topic="chat", kind="codec") == 0
    assert metrics.value("log_partition_troubles", reader="replica", topic="rooms", kind="held") == 1


def test_the_same_partition_in_trouble_further_on_is_said_again(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles("archiver", MemoryMetrics())
    troubles.update([CODEC])
    troubles.update([Trouble("chat", 1, 90, "codec", "another batch")])
    assert "archiver: chat partition 1: another batch" in [record.getMessage() for record in caplog.records]


def test_of_what_was_passed_over_only_what_was_not_read_before_is_lost() -> None:
    gone = Skipped("chat", 1, 10, 19, "why", "deleted")
    assert gone.behind(5) == gone
    assert gone.behind(14) == Skipped("chat", 1, 14, 19, "why", "deleted")
    assert gone.behind(20) is None


def test_what_was_passed_over_is_counted_by_cause_and_its_last_stands_in_the_status() -> None:
    metrics = MemoryMetrics()
    troubles = Troubles("replica", metrics)
    troubles.passed_over([Skipped("chat", 1, 0, 4, "why"), Skipped("chat", 1, 8, 9, "why", "deleted")])
    troubles.passed_over([Skipped("chat", 0, 3, 3, "why")])
    assert metrics.value("log_offsets_skipped_total", reader="replica", topic="chat", reason="damaged") == 6
    assert metrics.value("log_offsets_skipped_total", reader="replica", topic="chat", reason="deleted") == 2
    assert troubles.lost_text == "chat-0 offsets 3 to 3 (damaged), chat-1 offsets 8 to 9 (deleted)"


def test_a_trouble_stops_one_partition_and_its_position_and_lets_the_others_go_on() -> None:
    log = MemoryLog(SystemClock(), {"chat": 2})
    sink = log.sink()
    for number in range(6):
        sink.send("chat", b"k", b"%d" % number, number % 2)
    log.trouble(Trouble("chat", 1, 1, "damaged", "a batch fails its checksum"))
    source = log.reader([Partition("chat", 0), Partition("chat", 1)])
    found = source.poll(0).records
    assert [len(found[Partition("chat", index)]) for index in (0, 1)] == [3, 1]
    assert source.poll(0).records == {}
    assert source.lag() == {Partition("chat", 0): 0, Partition("chat", 1): 2}
    assert [trouble.offset for trouble in source.troubles()] == [1]
    log.mend(Partition("chat", 1))
    assert [record.value for record in source.poll(0).records[Partition("chat", 1)]] == [b"3", b"5"]
    assert source.troubles() == []
