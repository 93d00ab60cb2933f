"""Tests that presence ends by itself: in the worker that owns a viewer, and in what replicas answer."""

from __future__ import annotations

import pytest

from actors.settings import ProfileWorkerConfig
from streaming.events import RoomActivity, ViewerEvent, ViewerId
from streaming.log.codec import encode
from streaming.log.log import Partition
from streaming.log.topics import ROOM_ACTIVITY, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.viewer.presence import LATE_MS, Deadlines
from streaming.viewer.profile_config import ProfileConfig
from tests.reference import decoded, published_profiles
from tests.unit.actors.profiles.test_worker import Stage
from tests.unit.actors.replica import Replica

HOUR_MS = 3_600_000
TIMEOUT_MS = 1_000 * ProfileConfig().presence_timeout_s


def audience(stage: Stage, room: str = "r") -> int:
    said = [one for p in stage.log.partitions(ROOM_ACTIVITY) for _, one in decoded(stage.log, p, "")]
    return sum(one.entered - one.left for one in said if one.room == room)


def lapses(stage: Stage) -> list[RoomActivity]:
    said = [one for p in stage.log.partitions(ROOM_ACTIVITY) for _, one in decoded(stage.log, p, "")]
    return [one for one in said if one.lapsed]


def written(stage: Stage) -> int:
    return sum(stage.log.end(partition) for partition in stage.log.partitions(VIEWER_PROFILES))


def test_who_is_never_heard_of_again_leaves() -> None:
    stage = Stage()
    for number in range(5):
        stage.send(f"v{number}", "enter")
    stage.turn()
    assert audience(stage) == 5
    stage.turn(TIMEOUT_MS + LATE_MS - 2_000)
    assert audience(stage) == 5
    stage.turn(3_000)
    assert audience(stage) == 0
    assert {profile.room for profile in published_profiles(stage.log).values()} == {None}
    assert stage.metrics.value("presence_timeouts_total") == 5
    end = written(stage)
    for _ in range(4):
        stage.turn(2_000)
    assert (written(stage), audience(stage)) == (end, 0), "once"


def test_who_is_heard_of_stays() -> None:
    stage = Stage()
    stage.send("v", "enter")
    stage.turn()
    for _ in range(12):
        stage.turn(TIMEOUT_MS - 10_000)
        stage.send("v", "watch", seconds=30)
        stage.turn()
    assert (audience(stage), published_profiles(stage.log)["v"].room) == (1, "r")
    stage.turn(TIMEOUT_MS + LATE_MS + 1_000)
    assert audience(stage) == 0


@pytest.mark.parametrize("aggregates", [1, 20_000])
def test_a_worker_that_starts_later_ends_what_it_finds(aggregates: int) -> None:
    stage = Stage(ProfileWorkerConfig(aggregates_per_partition=aggregates))
    for number in range(9):
        stage.send(f"v{number}", "enter")
    stage.turn()
    stage.clock.advance(5 * HOUR_MS)
    stage.start()
    for _ in range(3):
        stage.turn(1_000)
    assert audience(stage) == 0
    assert len(lapses(stage)) <= 2 * 9
    assert sum(one.lapsed for one in lapses(stage)) == 9


def test_a_worker_cut_off_before_the_commit_has_everybody_leave_once() -> None:
    stage = Stage()
    for number in range(9):
        stage.send(f"v{number}", "enter")
    stage.turn()
    stage.clock.advance(5 * HOUR_MS)
    for _ in range(3):
        stage.turn(1_000, commit=False)
        stage.start()
    stage.turn(1_000)
    stage.turn(1_000)
    assert sum(one.lapsed for one in lapses(stage)) == 9
    assert audience(stage) == 0


def test_what_is_on_the_log_comes_before_what_time_says() -> None:
    """A worker that was away for hours finds a viewer who was heard of all the time."""
    stage = Stage()
    stage.send("v", "enter")
    stage.turn()
    for _ in range(8):
        stage.clock.advance(TIMEOUT_MS // 2)
        stage.send("v", "watch", seconds=30)
    stage.start()
    stage.turn(1_000)
    stage.turn(1_000)
    assert (audience(stage), lapses(stage)) == (1, [])


def test_an_enter_that_was_five_hours_old_when_it_arrived_is_over_at_once() -> None:
    stage = Stage()
    stage.send("v", "enter")
    now_ms = stage.clock.now_ms()
    stage.clock.advance(5 * HOUR_MS)
    stage.turn()
    stage.turn(2_000)
    assert published_profiles(stage.log)["v"].first_at_ms == now_ms
    assert audience(stage) == 0


def test_events_that_were_held_up_are_no_recording_although_they_come_last() -> None:
    """Read in one batch with those of now, because the worker started late."""
    stage = Stage()
    at_ms = stage.clock.now_ms()
    stage.clock.advance(2 * HOUR_MS)
    for number in range(10):
        stage.send(f"here {number}", "enter")
    for number in range(40):
        viewer = f"silent {number}"
        event = ViewerEvent(viewer=viewer, room="r", streamer="s-r", action="enter", at_ms=at_ms)
        stage.producer.send(VIEWER_EVENTS, viewer.encode(), encode(event))
    for _ in range(3):
        stage.turn(1_000)
    assert sum(one.lapsed for one in lapses(stage)) == 40
    assert audience(stage) == 10


def test_a_recording_with_its_own_times_has_an_audience() -> None:
    stage = Stage()
    for number in range(6):
        stage.send(f"v{number}", "enter")
        stage.clock.advance(1_000)
    replayed = Stage()
    replayed.clock.advance(100 * HOUR_MS)
    for partition in stage.log.partitions("viewer-events"):
        for record in stage.log.read(partition, 0, 99):
            replayed.producer.send("viewer-events", record.key, record.value)
    for _ in range(5):
        replayed.turn(1_000)
    assert audience(replayed) == 6
    replayed.turn(TIMEOUT_MS + 2 * LATE_MS)
    assert audience(replayed) == 0


def test_a_log_that_was_away_is_given_time_before_silence_counts() -> None:
    stage = Stage()
    stage.send("v", "enter")
    stage.turn()
    stage.log.pause()
    stage.turn(TIMEOUT_MS + LATE_MS + 1_000)
    held_back = ViewerEvent(
        viewer="v", room="r", streamer="s-r", action="watch", seconds=30, at_ms=stage.clock.now_ms() - TIMEOUT_MS // 2
    )
    stage.log.resume()
    stage.turn(5_000)
    assert lapses(stage) == []
    stage.producer.send(VIEWER_EVENTS, b"v", encode(held_back))
    stage.turn(1_000)
    stage.turn(90_000)
    assert (audience(stage), lapses(stage)) == (1, [])


def test_a_lookup_gives_the_profile_of_who_has_left() -> None:
    stage = Stage()
    stage.send("v", "enter")
    stage.turn()
    before = stage.worker.profile(ViewerId("v"))
    stage.turn(TIMEOUT_MS + LATE_MS + 1_000)
    assert stage.worker.profile(ViewerId("v")) not in (None, before)
    assert stage.log.end(Partition(VIEWER_PROFILES, 0)) + stage.log.end(Partition(VIEWER_PROFILES, 1)) == 2


def test_a_room_is_hidden_while_its_viewer_is_in_it_and_not_for_ever() -> None:
    replica = Replica()
    for room in ("a", "b"):
        replica.room(room)
    replica.viewer("v", "b", "a", now_in="a")
    assert replica.shown("v") == ["b"]
    replica.clock.advance(TIMEOUT_MS - 60_000)
    assert replica.shown("v") == ["b"]
    replica.clock.advance(120_000)
    assert set(replica.shown("v")) == {"a", "b"}


def test_a_deadline_is_kept_once_and_looked_at_when_it_is_due() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for due_ms in (5_000, 1_000, 9_000):
        deadlines.put("v", due_ms)
    deadlines.put("w", 4_000)
    assert len(deadlines) == 2
    assert deadlines.take(4_000 + LATE_MS - 1) == []
    assert deadlines.take(6_000 + LATE_MS, 1) == ["w"]
    assert deadlines.take(6_000 + LATE_MS, 1) == ["v"]
    assert len(deadlines) == 0
    deadlines.put("v", 1)
    assert deadlines.take(10**9) == ["v"]
