"""Tests of when a process takes the name of a group's member, and when it stands by."""

from __future__ import annotations

import pytest

from streaming.clock import ManualClock
from streaming.log.claim import OWN_NAME_S, Claim
from streaming.log.log import LiveMember
from streaming.log.memory_log import MemoryLog, MemorySource


class Stage:
    """A log, a process that may claim the name, and others that have it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock, {"a": 2})
        self.claim = Claim(self.log, "g", self.clock)
        self.asked: list[LiveMember] = []
        self.ready = True

    def may_take(self, name: str = "0") -> bool:
        def is_ready(other: LiveMember) -> bool:
            self.asked.append(other)
            return self.ready

        return self.claim.may_take(name, is_ready)

    def join(self, name: str = "0") -> MemorySource:
        return self.log.group(["a"], "g", name)

    def work(self, name: str = "0") -> MemorySource:
        """This process has the name."""
        self.claim.has(name)
        source = self.join(name)
        self.claim.had(source.member_id())
        return source


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_name_that_nobody_has_is_taken_at_once(stage: Stage) -> None:
    stage.ready = False
    assert stage.may_take()
    assert not stage.asked


def test_a_new_process_takes_a_name_from_another_once_it_is_ready(stage: Stage) -> None:
    other, stage.ready = stage.join(), False
    assert not stage.may_take()
    assert stage.claim.holder is not None
    assert [one.id for one in stage.asked] == [other.member_id()]
    stage.ready = True
    assert stage.may_take()


def test_a_process_that_lost_its_name_has_it_again_only_when_the_other_has_left(stage: Stage) -> None:
    stage.work()
    newer = stage.join()
    stage.claim.lost()
    stage.clock.advance(3_600_000)
    assert not stage.may_take()
    assert not stage.asked, "it is ready for nothing while a newer one works"
    newer.leave()
    assert stage.may_take()


def test_it_does_not_take_another_name_from_a_newer_process_either(stage: Stage) -> None:
    """As Serve gives it another rank meanwhile."""
    stage.work("0")
    stage.join("0")
    newer = stage.join("1")
    stage.claim.lost()
    stage.clock.advance(3_600_000)
    assert not stage.may_take("1")
    newer.leave()
    assert stage.may_take("1")
    stage.work("1")
    stage.join("2")
    assert stage.may_take("2"), "it has a name again, so it is as good as any"


def test_a_process_whose_session_ended_meanwhile_leaves_its_name_to_a_newer_one(stage: Stage) -> None:
    """It was without a broker, so that it did not notice."""
    stage.work()
    stage.join()
    assert not stage.may_take()


def test_a_process_that_was_only_too_slow_goes_on_after_a_moment(stage: Stage) -> None:
    """Its transaction timed out: it may not write any more, and nobody else has its name."""
    stage.work()
    stage.claim.lost()
    assert not stage.may_take(), "one that takes the name stops its writes first, and joins the group then"
    stage.clock.advance(int(OWN_NAME_S * 1_000))
    assert stage.may_take()


def test_two_processes_that_begin_at_once_settle_on_one(stage: Stage) -> None:
    stage.claim.has("0")
    stage.claim.lost()  # the other opened its sink after this one, and neither has joined
    assert not stage.may_take()
    stage.join()
    stage.clock.advance(int(OWN_NAME_S * 1_000))
    assert not stage.may_take()
