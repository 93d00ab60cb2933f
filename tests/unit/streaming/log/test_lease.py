"""Tests of who has a lease: one process, until it leaves or its session ends, and never one that only believes so."""

from __future__ import annotations

import pytest

from streaming.clock import ManualClock
from streaming.errors import Fenced, LogUnavailable
from streaming.log.lease import Lease
from streaming.log.memory_log import MemoryLog

GROUP, NAME = "trainers", "trainer-0"


class Stage:
    """A log, and processes that want the lease."""

    def __init__(self) -> None:
        self.log = MemoryLog(ManualClock(), {"models": 1})
        self.first, self.second = self.lease(), self.lease()

    def lease(self) -> Lease:
        return Lease(self.log, "models", GROUP, NAME)

    def may_change(self, lease: Lease) -> bool:
        try:
            lease.require()
        except Fenced:
            return False
        return True

    def write(self) -> None:
        sink = self.log.sink()
        sink.send("models", b"k", b"v")
        sink.flush()


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    assert stage.first.acquire()
    return stage


def test_a_second_process_waits_however_new_it_is(stage: Stage) -> None:
    assert not stage.second.acquire()
    assert stage.second.holder is not None
    assert stage.second.holder.host == "localhost"
    for _ in range(3):
        stage.write()  # records of the topic are nothing to a lease
        assert stage.first.keep()
        assert stage.first.acquire(), "it has it already"
        assert not stage.second.acquire()
    assert (stage.may_change(stage.first), stage.may_change(stage.second)) == (True, False)


def test_it_is_another_ones_at_once_when_it_is_released(stage: Stage) -> None:
    assert not stage.second.acquire()
    stage.first.release()
    assert stage.second.acquire()
    assert stage.second.holder is None
    assert (stage.may_change(stage.first), stage.may_change(stage.second)) == (False, True)
    assert not stage.first.keep()
    assert not stage.first.acquire()


def test_a_frozen_process_loses_it_to_another_and_is_told_so_when_it_asks(stage: Stage) -> None:
    stage.log.expire(GROUP, NAME)
    assert stage.second.acquire()
    with pytest.raises(Fenced, match=r"lease 'trainer-0' of group 'trainers' is lost: a process at localhost has it"):
        stage.first.require()
    assert not stage.first.keep()
    assert stage.may_change(stage.second), "the one that was frozen takes nothing with it when it leaves"
    assert stage.second.keep()


def test_a_lease_that_ended_is_lost_even_where_nobody_has_it_now(stage: Stage) -> None:
    """Somebody may have had it meanwhile, and have left."""
    stage.log.expire(GROUP, NAME)
    assert not stage.may_change(stage.first)
    assert stage.first.acquire(), "it begins again"
    assert stage.may_change(stage.first)


def test_of_two_that_join_in_the_same_moment_one_has_it(stage: Stage) -> None:
    stage.log.group(["models"], GROUP, NAME)  # looked when nobody had it, and joins after the first
    with pytest.raises(Fenced, match="another process has it"):
        stage.first.require()
    assert not stage.first.acquire()


def test_without_a_broker_nobody_knows_and_nothing_is_lost(stage: Stage) -> None:
    stage.log.pause()
    with pytest.raises(LogUnavailable):
        stage.first.require()
    with pytest.raises(LogUnavailable):
        stage.second.acquire()
    assert stage.first.keep()
    stage.log.resume()
    assert stage.may_change(stage.first)


def test_a_source_that_gave_up_is_opened_anew_where_the_group_still_has_this_process(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Kafka's does after a long silence; an outage of brokers must not cost a training of hours."""
    source = stage.first._source
    assert source is not None

    def silent(_timeout_s: float) -> None:
        raise LogUnavailable("heard nothing for 15 s")

    monkeypatch.setattr(source, "poll", silent)
    assert stage.first.keep()
    assert stage.first._source is not source
    assert stage.may_change(stage.first)
    assert not stage.second.acquire()


def test_models_made_anew_leave_the_lease_where_it_is(stage: Stage) -> None:
    stage.write()
    stage.log.remake("models")
    for _ in range(3):
        assert stage.first.keep()
    assert stage.may_change(stage.first)


def test_a_lease_that_was_never_acquired_allows_nothing() -> None:
    lease = Stage().second
    with pytest.raises(Fenced, match="it was never acquired"):
        lease.require()
    lease.release()
    assert not lease.keep()
