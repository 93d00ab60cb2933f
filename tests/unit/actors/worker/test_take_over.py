"""Tests of a worker that takes over from another process, or whose place another one has taken."""

from __future__ import annotations

import msgspec
import pytest

from actors.rooms.encoder_client import PROBE_TEXT, Question
from streaming.clock import ManualClock
from streaming.errors import LogUnavailable
from streaming.log.codec import Decoder
from streaming.log.log import LiveMember, Partition
from streaming.log.partitioner import partition_of
from streaming.log.topics import CHAT, ROOM_STATES, ROOMS, VIEWER_EVENTS, VIEWER_PROFILES
from tests.fake_encoder import ManualEncoder
from tests.unit.actors.profiles.test_worker import Stage as ProfileStage
from tests.unit.actors.room_stage import Stage

ROOMS_OF = [[room for room in map("room{}".format, range(20)) if partition_of(room.encode(), 2) == i] for i in (0, 1)]
HERE, THERE = ROOMS_OF[0][0], ROOMS_OF[1][0]  # in partition 0 and in partition 1
OTHER = LiveMember("other", "10.0.0.7", (Partition(CHAT, 0), Partition(ROOMS, 0), Partition(CHAT, 1)))


def rewritten(value: bytes | None, version: int) -> bytes:
    """A state as a build with another schema version writes it, which has one field more."""
    fields = msgspec.msgpack.decode(value or b"")
    return bytes(msgspec.msgpack.encode([version, *fields[1:], "a field of that build"]))


def put_version(stage: Stage | ProfileStage, topic: str, index: int, version: int) -> bytes:
    """Puts another version of the last state of a partition behind it; returns its bytes."""
    record = stage.log.read(Partition(topic, index), 0, 10_000)[-1]
    value = rewritten(record.value, version)
    sink = stage.log.sink()
    sink.send(topic, record.key, value, index)
    sink.flush()
    return value


def test_a_room_worker_is_ready_once_its_encoder_answers_and_it_has_read_what_the_other_has() -> None:
    encoder = ManualEncoder()
    stage = Stage(encoder)
    stage.send(stage.started(HERE), stage.started(THERE))
    stage.turns(4)
    encoder.waiting.clear()
    stage.start()  # the worker of another installation, say
    assert not stage.worker.is_ready(OTHER)
    assert [texts for texts, _ in encoder.waiting] == [[PROBE_TEXT]]
    assert not stage.worker.is_ready(OTHER), "the encoder still loads"
    encoder.fail()
    assert not stage.worker.is_ready(OTHER)
    encoder.finish()
    assert stage.worker.is_ready(OTHER)


def test_a_take_over_reads_only_what_came_since_it_was_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.send(stage.started(HERE, "first"), stage.started(THERE, "there"))
    stage.turns(6)
    older = stage.worker
    stage.start()
    while not stage.worker.is_ready(OTHER):
        stage.turns(0)
    newer = stage.worker
    stage.worker = older
    read_from: list[int] = []
    reader_of = stage.log.reader

    def reader(partitions, start="beginning"):  # type: ignore[no-untyped-def]
        read_from.extend(start.values() if isinstance(start, dict) else [0])
        return reader_of(partitions, start)

    ends = [stage.log.end(Partition(ROOM_STATES, index)) for index in (0, 1)]
    monkeypatch.setattr(stage.log, "reader", reader)
    newer.begin(stage.source, stage.sink)
    newer.assign([Partition(topic, index) for topic in (CHAT, ROOMS) for index in (0, 1)])
    assert [start for start in read_from if start] == ends, "the others look for rooms of other partitions"
    assert {room for owned in newer._owned.values() for room in owned.rooms} == {HERE, THERE}


def test_reading_ahead_does_not_wait_for_the_open_transaction_of_the_process_that_works() -> None:
    stage = Stage()
    stage.send(stage.started(HERE))
    stage.turns(4)
    stage.start()
    stage.log.held.add(Partition(ROOM_STATES, 0))
    assert not stage.worker.is_ready(OTHER), "the encoder is asked first"
    assert stage.worker.is_ready(OTHER)


def test_what_was_read_ahead_is_dropped_where_the_topic_was_made_anew() -> None:
    stage = Stage()
    stage.send(stage.started(HERE))
    stage.turns(4)
    stage.start()
    while not stage.worker.is_ready(OTHER):
        stage.turns(0)
    stage.log.remake(ROOM_STATES)
    assert stage.worker._ahead.take(stage.log, Partition(ROOM_STATES, 0)).values == {}


def test_a_worker_that_stands_by_has_nothing_and_says_who_works() -> None:
    stage = Stage()
    stage.send(stage.started(HERE))
    stage.turns(60)
    assert stage.worker.status().rooms_live == 1
    stage.worker.stand_by(OTHER)
    status = stage.worker.status()
    assert (status.standing_by, status.partitions, status.rooms_live) == ("10.0.0.7", (), 0)
    assert stage.metrics.value("rooms_live", reader="room-workers") == 0
    assert stage.worker.unread() == {}, "nothing for which a worker more would be started"
    assert stage.metrics.value("lag_records", reader="room-workers") == 0

    viewers = ProfileStage()
    viewers.send("v", "enter")
    for _ in range(50):
        viewers.turn()
    viewers.worker.stand_by(OTHER)
    assert viewers.worker.profile("v") is None  # type: ignore[arg-type]
    assert viewers.worker.status().standing_by == "10.0.0.7"
    assert viewers.metrics.value("profiles_held", reader="profile-workers") == 0


@pytest.mark.parametrize("version", [1, 2])
def test_states_of_the_next_version_are_read_and_worked_on(version: int) -> None:
    stage = Stage()
    stage.send(stage.started(HERE, "a title"))
    stage.turns(6)
    put_version(stage, ROOM_STATES, 0, version)
    stage.start()
    stage.send(stage.said(HERE, "go on"))
    stage.turns(60)
    assert (stage.state(HERE).title, stage.state(HERE).messages) == ("a title", 1)


def test_a_state_of_an_unknown_version_is_not_overwritten_and_the_other_partitions_are_worked() -> None:
    stage = Stage()
    stage.send(stage.started(HERE), stage.started(THERE))
    stage.turns(6)
    value = put_version(stage, ROOM_STATES, 0, 3)
    end = stage.log.end(Partition(ROOM_STATES, 0))
    stage.start()
    stage.send(stage.said(HERE, "unheard"), stage.said(THERE, "heard"))
    stage.turns(80)
    assert [(one.topic, one.partition, one.kind) for one in stage.worker.status().troubles] == [
        (ROOM_STATES, 0, "version")
    ]
    assert "reads version 1 and 2" in stage.worker.status().troubles[0].message
    stage.turns(30, advance_ms=1_000)  # tried again, in vain
    assert stage.log.end(Partition(ROOM_STATES, 0)) == end
    assert stage.log.read(Partition(ROOM_STATES, 0), end - 1, 1)[0].value == value
    sink = stage.log.sink()  # the build that can has written it again, or its room's tombstone
    sink.send(ROOM_STATES, HERE.encode(), None, 0)
    sink.flush()
    with pytest.raises(LogUnavailable, match="can be read again"):
        stage.turns(70, advance_ms=1_000)
    there = stage.log.read(Partition(ROOM_STATES, 1), 0, 10_000)[-1]
    assert Decoder(ROOM_STATES)(there.value or b"").messages == 1, "the other partition went on"
    stage.start()
    stage.turns(60)
    assert stage.worker.status().partitions == (0, 1)
    assert stage.worker.status().troubles == ()


def test_a_profile_of_an_unknown_version_is_not_begun_anew() -> None:
    stage = ProfileStage()
    viewers = {partition_of(f"v{number}".encode(), 2): f"v{number}" for number in range(20)}
    for viewer in viewers.values():
        stage.send(viewer, "enter")
    stage.turn()
    value = put_version(stage, VIEWER_PROFILES, 0, 3)
    end = stage.log.end(Partition(VIEWER_PROFILES, 0))
    stage.start()
    for viewer in viewers.values():
        stage.send(viewer, "like")
    for _ in range(80):
        stage.turn()
    assert stage.log.read(Partition(VIEWER_PROFILES, 0), end - 1, 9)[-1].value == value
    assert stage.log.end(Partition(VIEWER_PROFILES, 1)) > 1, "the other partition goes on"
    assert [(one.topic, one.partition, one.kind) for one in stage.worker.status().troubles] == [
        (VIEWER_PROFILES, 0, "version")
    ]
    committed = stage.log.committed("profile-workers", stage.log.partitions(VIEWER_EVENTS))
    assert committed[Partition(VIEWER_EVENTS, 0)] == 1, "its events come again for the build that can read it"
    assert not stage.worker.is_ready(OTHER), "a worker that cannot read it takes it from nobody"


def test_a_question_is_asked_again_where_the_encoder_stays_silent() -> None:
    clock, encoder = ManualClock(), ManualEncoder()
    question = Question(encoder, [PROBE_TEXT], 5.0, clock)
    assert question.answer() is None
    clock.advance(4_000)
    assert question.answer() is None
    assert len(encoder.waiting) == 1
    clock.advance(2_000)
    assert question.answer() is None
    assert len(encoder.waiting) == 2
    encoder.finish()
    assert question.answer() is not None
    assert question.answer() is not None
    assert encoder.waiting == [], "who has an answer asks no more"
