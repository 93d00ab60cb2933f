"""Tests of the log as a stream: in the order of append times, up to where it ended, without what cannot be read."""

from __future__ import annotations

from itertools import pairwise

from streaming.clock import ManualClock
from streaming.log.codec import encode
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import IMPRESSIONS, VIEWER_EVENTS
from tests.unit.training.report.told import did, shown
from training.examples.event_stream import StreamRecord
from training.report.log_stream import from_log

PARTITIONS = 3


def written(count: int) -> tuple[MemoryLog, list[StreamRecord]]:
    """A log with an answer and an enter a second, of several viewers in turn."""
    clock = ManualClock()
    log = MemoryLog(clock, {IMPRESSIONS: PARTITIONS, VIEWER_EVENTS: PARTITIONS})
    sink, records = log.sink(), []
    for number in range(count):
        viewer = f"v{number % 7}"
        for record in (shown(number, viewer, "a"), did(number, viewer, "enter", "a")):
            sink.send(record.topic, viewer.encode(), encode(record.record))
            sink.flush()
            records.append(record._replace(at_ms=clock.now_ms()))
        clock.advance(1_000)
    return log, records


def test_everything_comes_once_in_the_order_of_append_times() -> None:
    log, records = written(50)
    found = list(from_log(log, print))
    assert [(one.at_ms, one.topic, one.record) for one in found] == [(r.at_ms, r.topic, r.record) for r in records]
    assert all(before.at_ms <= after.at_ms for before, after in pairwise(found))


def test_it_ends_where_the_log_ended_when_it_began() -> None:
    log, records = written(5)
    stream = from_log(log, print)
    first = next(stream)
    log.sink().send(VIEWER_EVENTS, b"v1", encode(did(99, "v1", "enter", "late").record))
    assert len([first, *stream]) == len(records)


def test_what_is_before_the_time_or_no_record_is_left_out_and_said_once() -> None:
    log, records = written(20)
    sink = log.sink()
    for _ in range(3):
        sink.send(VIEWER_EVENTS, b"v1", b"{no record")
    sink.send(VIEWER_EVENTS, b"v1", None)
    sink.flush()
    said: list[str] = []
    from_ms = records[20].at_ms
    found = list(from_log(log, said.append, from_ms))
    assert [one.record for one in found] == [one.record for one in records if one.at_ms >= from_ms]
    assert len(said) == 1
    assert "cannot be read" in said[0]


def test_an_empty_log_is_an_empty_stream() -> None:
    assert list(from_log(written(0)[0], print)) == []
