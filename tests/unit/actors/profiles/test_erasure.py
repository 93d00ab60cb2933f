"""Tests that a viewer who is erased is forgotten for good, and that silent viewers' profiles end, a few at a time."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from actors.intake.erasures import ErasureWriter
from actors.profiles import worker as profile_worker
from actors.settings import ProfileWorkerConfig
from streaming.events import ViewerErased, ViewerEvent, ViewerId
from streaming.log.codec import encode
from streaming.log.log import Partition
from streaming.log.partitioner import partition_of
from streaming.log.restore import last_values
from streaming.log.topics import DEAD_LETTER, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.viewer.presence import is_erased
from streaming.viewer.profile import ERASURE_KEPT_MS
from streaming.viewer.profile_config import ProfileConfig
from tests.reference import published_profiles
from tests.unit.actors.profiles.test_presence import audience, lapses, written
from tests.unit.actors.profiles.test_worker import START_MS, Stage
from tests.unit.actors.worker.test_growth import MOVES, grow_viewers, holders

DAY_MS = 86_400_000
RETENTION_MS = ProfileConfig().retention_days * DAY_MS


def erase(stage: Stage, viewer: str = "v", at_ms: int | None = None) -> None:
    record = ViewerErased(viewer=viewer, at_ms=stage.clock.now_ms() if at_ms is None else at_ms)
    stage.producer.send(VIEWER_EVENTS, viewer.encode(), encode(record))


def late(stage: Stage, at_ms: int, action: str = "enter", viewer: str = "v") -> None:
    event = ViewerEvent(viewer=viewer, room="r", streamer="s-r", action=action, at_ms=at_ms)  # type: ignore[arg-type]
    stage.producer.send(VIEWER_EVENTS, viewer.encode(), encode(event))


def is_known(stage: Stage, viewer: str = "v") -> bool:
    values = [value for p in stage.log.partitions(VIEWER_PROFILES) for value in last_values(stage.log, p).items()]
    return any(key == viewer.encode() and not is_erased(key, value) for key, value in values)


def erased_stage() -> Stage:
    """Somebody who was in a room, hid one, and is erased."""
    stage = Stage()
    stage.send("v", "enter")
    stage.send("v", "hide_room", "other")
    stage.send("w", "enter")
    stage.turn()
    assert is_known(stage)
    assert audience(stage) == 2
    stage.clock.advance(1_000)
    erase(stage)
    stage.turn()
    return stage


def test_an_erased_viewer_is_forgotten_and_leaves_the_room_once() -> None:
    stage = erased_stage()
    assert not is_known(stage)
    assert is_known(stage, "w")
    assert stage.worker.profile(ViewerId("v")) is None
    assert audience(stage) == 1
    assert [one.left for one in lapses(stage)] == [1]
    assert stage.metrics.value("viewers_erased_total") == 1
    (left,) = [profile for profile in published_profiles(stage.log).values() if profile.viewer == "v"]
    plain = msgspec.structs.replace(left, viewer=ViewerId("x"), erased_ms=0, appended_ms=0)
    assert all(not value for value in msgspec.structs.astuple(plain)[2:])
    stage.assert_as_expected()


@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
def test_what_comes_late_does_not_bring_a_viewer_back_and_what_comes_later_begins_anew(restarts: bool) -> None:
    stage = erased_stage()
    if restarts:
        stage.start()
        stage.turn()
    before = written(stage)
    late(stage, START_MS)
    late(stage, START_MS + 10, "block_streamer")
    stage.turn(2_000)
    assert not is_known(stage)
    assert written(stage) == before
    assert audience(stage) == 1
    stage.send("v", "enter", "new")
    stage.turn()
    profile = published_profiles(stage.log)["v"]
    assert (profile.total_visits, profile.total_events, profile.room, profile.rules) == (1, 1, "new", ())
    late(stage, START_MS)
    stage.turn(2_000)
    assert published_profiles(stage.log)["v"].total_events == 1
    stage.assert_as_expected()


def test_an_erasure_twice_or_of_a_stranger_does_no_harm_and_an_old_one_again_erases_nothing_new() -> None:
    stage = erased_stage()
    at_ms = published_profiles(stage.log)["v"].erased_ms
    erase(stage, at_ms=at_ms)
    erase(stage, "stranger")
    stage.turn()
    late(stage, at_ms - 500, viewer="stranger")
    stage.turn()
    assert not is_known(stage, "stranger")
    stage.send("v", "enter")
    stage.turn()
    erase(stage, at_ms=at_ms)
    stage.turn()
    assert is_known(stage)
    assert audience(stage) == 2
    assert stage.metrics.value("viewers_erased_total") == 2
    stage.assert_as_expected()


def test_an_erasure_is_believed_whatever_its_clock_says() -> None:
    stage = Stage()
    stage.send("v", "enter")
    stage.turn()
    erase(stage, at_ms=START_MS + 10 * DAY_MS)
    stage.turn()
    assert not is_known(stage)
    stage.turn(1_000)
    stage.send("v", "enter")
    stage.turn()
    assert is_known(stage)  # it did not reach into the future
    stage.assert_as_expected()


def test_an_erasure_with_another_viewers_key_is_refused() -> None:
    stage = Stage()
    stage.send("v", "enter")
    stage.producer.send(VIEWER_EVENTS, b"v", encode(ViewerErased(viewer="w", at_ms=START_MS)))
    stage.producer.send(VIEWER_EVENTS, b"v", b'{"type":"erased","at_ms":1700000000000}')
    stage.turn()
    assert is_known(stage)
    assert len(stage.log.read(Partition(DEAD_LETTER, 0), 0, 100)) == 2


def test_a_worker_cut_off_around_an_erasure_does_it_once() -> None:
    stage = Stage(ProfileWorkerConfig(aggregates_per_partition=1))
    for number in range(6):
        stage.send(f"v{number}", "enter")
    stage.turn()
    for number in range(6):
        stage.clock.advance(1_000)
        erase(stage, f"v{number}")
        stage.turn(commit=number % 2 == 0)
        stage.start()
        stage.turn(500)
        stage.turn(500)
    assert audience(stage) == 0
    assert sum(one.left for one in lapses(stage)) == 6
    assert not any(is_known(stage, f"v{number}") for number in range(6))
    stage.assert_as_expected()


def test_topics_that_grow_do_not_bring_a_viewer_back() -> None:
    stage = Stage()
    stage.send(MOVES, "enter")
    stage.turn(1_000)
    erase(stage, MOVES)
    stage.turn()
    grow_viewers(stage)
    assert holders(stage, MOVES) == [partition_of(MOVES.encode(), 4)]
    late(stage, START_MS, viewer=MOVES)
    stage.turn()
    assert not is_known(stage, MOVES)
    assert audience(stage) == 0


def test_an_erasure_where_its_key_no_longer_belongs_is_forwarded() -> None:
    stage = Stage()
    stage.send(MOVES, "enter")
    stage.turn(1_000)
    grow_viewers(stage)
    record = encode(ViewerErased(viewer=MOVES, at_ms=stage.clock.now_ms()))
    stage.producer.send(VIEWER_EVENTS, MOVES.encode(), record, partition_of(MOVES.encode(), 2))
    for _ in range(3):
        stage.turn()
    assert not is_known(stage, MOVES)
    assert audience(stage) == 0


def test_the_mark_of_an_erasure_ends_in_a_tombstone() -> None:
    stage = erased_stage()
    stage.turn(ERASURE_KEPT_MS - 10_000)
    assert holders(stage, "v")
    for _ in range(3):
        stage.turn(2 * 3_600_000)
    assert not holders(stage, "v")
    assert holders(stage, "w")
    assert stage.metrics.value("profiles_expired_total") == 1
    stage.start()
    stage.turn()
    assert not is_known(stage)


def test_silent_viewers_profiles_end_after_the_retention_and_others_stay() -> None:
    stage = Stage()
    stage.send("silent", "enter")
    stage.turn()
    stage.turn(RETENTION_MS // 2)
    stage.send("heard", "like")
    stage.turn()
    stage.turn(RETENTION_MS // 2 - DAY_MS)
    assert holders(stage, "silent")
    for _ in range(3):
        stage.turn(DAY_MS)
    assert not holders(stage, "silent")
    assert holders(stage, "heard")
    end = written(stage)
    stage.turn(1_000)
    assert written(stage) == end
    stage.send("silent", "enter")
    stage.turn()
    assert published_profiles(stage.log)["silent"].total_events == 1


def test_profiles_end_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_worker, "EXPIRED", 3)
    stage = Stage()
    for number in range(40):
        stage.send(f"v{number}", "like")
    stage.turn()
    stage.turn(RETENTION_MS + 60_000)
    ended = [stage.metrics.value("profiles_expired_total")]
    while len(published_profiles(stage.log)) > 1 and len(ended) < 20:
        stage.turn(1_000)
        ended.append(stage.metrics.value("profiles_expired_total"))
    assert max(b - a for a, b in itertools.pairwise(ended)) <= 6  # 3 of each partition
    assert stage.metrics.value("profiles_expired_total") == 40


def test_an_event_that_is_read_as_a_profile_ends_keeps_it() -> None:
    stage = Stage()
    stage.send("v", "like")
    stage.turn()
    stage.clock.advance(RETENTION_MS + 120_000)
    stage.send("v", "like")  # on the log, read in the turn in which the profile would end
    stage.turn()
    stage.turn(1_000)
    assert published_profiles(stage.log)["v"].total_events == 2


def test_the_writer_returns_once_the_erasure_is_on_the_log() -> None:
    stage = Stage()
    at_ms = ErasureWriter(stage.log, stage.clock).erase(ViewerId("v"))
    assert at_ms == stage.clock.now_ms()
    partition = Partition(VIEWER_EVENTS, partition_of(b"v", 2))
    (record,) = stage.log.read(partition, 0, 10)
    assert record.value == encode(ViewerErased(viewer="v", at_ms=at_ms))
