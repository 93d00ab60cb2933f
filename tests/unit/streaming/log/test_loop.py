"""Tests of what the loop does when the log fails, and in which order it drives a fold."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

import pytest

from streaming.clock import ManualClock
from streaming.errors import Fenced, LogUnavailable
from streaming.log import loop as loop_module
from streaming.log.log import Batch, LiveMember, Partition, Sink, Source
from streaming.log.loop import GroupMember, Loop
from streaming.log.memory_log import MemoryLog, MemorySink, MemorySource
from streaming.metrics import MemoryMetrics

IN = Partition("in", 0)


class Copy:
    """Copies "in" to "out"; stops the loop at the value "stop", fails once at "fail"."""

    def __init__(self, stop: threading.Event, clock: ManualClock) -> None:
        self.stop = stop
        self.clock = clock
        self.verbs: list[str] = []
        self.failures = 1

    def begin(self, source: Source, sink: Sink) -> None:
        self.sink = sink
        self.pending: list[bytes] = []
        self.next = -1
        self.verbs.append("begin")

    def is_ready(self, other: LiveMember) -> bool:
        return True

    def stand_by(self, other: LiveMember) -> None:
        self.verbs.append("stand by")

    def revoke(self, partitions: Sequence[Partition]) -> None:
        self.verbs.append("revoke")

    def assign(self, partitions: Sequence[Partition]) -> None:
        self.verbs.append("assign")

    def apply(self, batch: Batch) -> None:
        for record in batch.records.get(IN, ()):
            assert record.value is not None
            if record.value == b"fail" and self.failures:
                self.failures -= 1
                raise LogUnavailable("gone")
            self.pending.append(record.value)
            self.next = record.offset + 1
            if record.value == b"stop":
                self.stop.set()

    def publish(self, *, final: bool) -> Mapping[Partition, int] | None:
        if not self.pending:
            return None
        for value in self.pending:
            self.sink.send("out", None, value)
        self.pending = []
        return {IN: self.next}

    def wait_s(self) -> float:
        return 0.0


def copied(values: list[bytes]) -> tuple[MemoryLog, Copy, MemoryMetrics, Loop]:
    clock, metrics = ManualClock(), MemoryMetrics()
    log = MemoryLog(clock, {"in": 1, "out": 1})
    producer = log.sink()
    for value in values:
        producer.send("in", b"k", value)
    worker = Copy(threading.Event(), clock)
    return log, worker, metrics, Loop(log, GroupMember("g", "0", ("in",)), worker, metrics, clock)


def test_everything_is_copied_once_although_the_log_failed() -> None:
    values = [b"a", b"fail", b"b", b"stop"]
    log, worker, metrics, loop = copied(values)
    loop.run(worker.stop)
    assert [line.value for line in log.read(Partition("out", 0), 0, 99)] == values
    assert worker.verbs == ["begin", "assign", "begin", "assign"]
    assert metrics.value("loop_restarts_total", reader="g") == 1


def test_positions_are_committed_when_it_stops() -> None:
    log, worker, _, loop = copied([b"a", b"stop"])
    loop.run(worker.stop)
    again = log.group(["in"], "g", "0")
    again.poll(0)
    assert sum(again.lag().values()) == 0


def test_a_member_that_stops_leaves_its_group_although_its_last_commit_fails() -> None:
    log, worker, _, loop = copied([b"a", b"stop"])
    sink_of = log.sink

    def failing(transactional_id: str | None = None) -> MemorySink:
        sink = sink_of(transactional_id)

        def begin_commit(_source: Source, _positions: Mapping[Partition, int]) -> Future[None]:
            raise Fenced("the group has given it up")

        sink.begin_commit = begin_commit  # type: ignore[method-assign]
        return sink

    log.sink = failing  # type: ignore[method-assign]
    loop.run(worker.stop)
    assert log.member("g", "0") is None


def test_a_commit_that_fails_late_is_done_again_although_nothing_more_is_read() -> None:
    log, worker, metrics, loop = copied([b"a"])
    ended: list[Future[None]] = []
    sink_of = log.sink

    def failing_once(transactional_id: str | None = None) -> MemorySink:
        sink = sink_of(transactional_id)
        if not ended:
            ended.append(Future())
            sink.begin_commit = lambda source, positions: ended[0]  # type: ignore[method-assign]
        return sink

    def wait_s() -> float:
        if not ended[0].done():
            ended[0].set_exception(LogUnavailable("the broker went away"))
        elif worker.verbs.count("begin") > 1 and worker.next == 1:
            worker.stop.set()
        return 0.0

    log.sink = failing_once  # type: ignore[method-assign]
    worker.wait_s = wait_s  # type: ignore[method-assign]
    loop.run(worker.stop)
    assert [line.value for line in log.read(Partition("out", 0), 0, 99)] == [b"a"]
    assert metrics.value("loop_restarts_total", reader="g") == 1


def test_a_batch_is_folded_while_the_last_one_is_committed() -> None:
    log, worker, _, loop = copied([b"a"])
    ending: Future[None] = Future()
    sink_of, apply = log.sink, worker.apply
    folded: list[bool] = []

    def slow(transactional_id: str | None = None) -> MemorySink:
        sink = sink_of(transactional_id)
        commit = sink.begin_commit

        def begin_commit(source: Source, positions: Mapping[Partition, int]) -> Future[None]:
            commit(source, positions)
            return ending

        sink.begin_commit = begin_commit  # type: ignore[method-assign]
        return sink

    def watched(batch: Batch) -> None:
        folded.append(ending.done())
        apply(batch)
        if len(folded) == 3:
            ending.set_result(None)
            worker.stop.set()

    log.sink = slow  # type: ignore[method-assign]
    worker.apply = watched  # type: ignore[method-assign]
    loop.run(worker.stop)
    assert folded == [False, False, False]


def test_a_fenced_worker_stands_by_and_goes_on_when_the_other_process_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "LOOK_S", 0.0)
    log, worker, metrics, loop = copied([b"a"])
    others: list[MemorySource] = []

    def replace() -> float:
        if not others and worker.next == 1:
            log.sink("g-0")
            others.append(log.group(["in"], "g", "0"))
        return 0.0

    def stand_by(other: LiveMember) -> None:
        assert other.id == others[0].member_id()
        worker.verbs.append("stand by")
        worker.clock.advance(60_000)
        if worker.verbs.count("stand by") == 3:
            assert metrics.value("standing_by", reader="g") == (len(worker.verbs) > 3)
            log.sink().send("in", b"k", b"stop")
            others[0].leave()

    worker.wait_s = replace  # type: ignore[method-assign]
    worker.stand_by = stand_by  # type: ignore[method-assign]
    loop.run(worker.stop)
    assert worker.verbs == ["begin", "assign", *["stand by"] * 3, "begin", "assign"]
    assert [line.value for line in log.read(Partition("out", 0), 0, 99)] == [b"a", b"stop"]
    assert metrics.value("standing_by", reader="g") == 0
    assert metrics.value("loop_restarts_total", reader="g") == 0


def test_a_new_worker_takes_its_name_from_another_process_once_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "LOOK_S", 0.0)
    log, worker, _, loop = copied([b"a", b"stop"])
    older = log.group(["in"], "g", "0")
    answers = [False, False, True]

    def is_ready(other: LiveMember) -> bool:
        assert other.id == older.member_id()
        worker.verbs.append("ready?")
        return answers.pop(0)

    worker.is_ready = is_ready  # type: ignore[method-assign]
    loop.run(worker.stop)
    assert worker.verbs == ["ready?", "stand by", "ready?", "stand by", "ready?", "begin", "assign"]
    with pytest.raises(Fenced):
        older.poll(0)


def test_a_renamed_worker_commits_and_leaves_its_place_before_it_has_the_other() -> None:
    log, worker, _, loop = copied([b"a"])

    def rename() -> float:
        if worker.verbs.count("begin") == 1 and worker.next == 1:
            loop.rename("1")
        elif worker.verbs.count("begin") == 2:
            assert log.member("g", "0") is None
            assert log.member("g", "1") is not None
            log.sink().send("in", b"k", b"stop")
        return 0.0

    worker.wait_s = rename  # type: ignore[method-assign]
    loop.run(worker.stop)
    assert worker.verbs == ["begin", "assign", "begin", "assign"]
    assert [line.value for line in log.read(Partition("out", 0), 0, 99)][:2] == [b"a", b"stop"]
    assert log.member("g", "1") is None, "it has left when it ended"


class MovedClock(ManualClock):
    """A clock that can be put to another time."""

    moved_ms = 0

    def monotonic_s(self) -> float:
        return super().monotonic_s() - self.moved_ms / 1_000

    def put(self, ms: int) -> None:
        self.advance(ms)
        self.moved_ms += ms


@pytest.mark.parametrize(
    ("moved_ms", "sessions"), [(-3_600_000, 2), (-1_500, 2), (-500, 1), (20_000, 1), (45_000, 2), (3_600_000, 2)]
)
def test_where_the_clock_is_moved_what_waits_for_it_begins_anew(moved_ms: int, sessions: int) -> None:
    clock, metrics = MovedClock(), MemoryMetrics()
    log = MemoryLog(clock, {"in": 1, "out": 1})
    producer = log.sink()
    for value in (b"a", b"b"):
        producer.send("in", b"k", value)
    worker = Copy(threading.Event(), clock)
    turns = 0

    def wait_s() -> float:
        nonlocal turns
        turns += 1
        if turns == 2:
            clock.put(moved_ms)
        elif turns == 4:
            producer.send("in", b"k", b"stop")
        return 0.0

    worker.wait_s = wait_s  # type: ignore[method-assign]
    Loop(log, GroupMember("g", "0", ("in",)), worker, metrics, clock).run(worker.stop)
    assert worker.verbs.count("begin") == sessions
    assert [line.value for line in log.read(Partition("out", 0), 0, 99)] == [b"a", b"b", b"stop"]


def test_time_that_passes_while_a_turn_takes_long_moves_no_clock() -> None:
    log, worker, _, loop = copied([b"a", b"stop"])
    clock, apply = loop._clock, worker.apply
    assert isinstance(clock, ManualClock)

    def slow(batch: Batch) -> None:
        clock.advance(3_600_000)
        apply(batch)

    worker.apply = slow  # type: ignore[method-assign]
    loop.run(worker.stop)
    assert worker.verbs.count("begin") == 1
    assert len(log.read(Partition("out", 0), 0, 99)) == 2
