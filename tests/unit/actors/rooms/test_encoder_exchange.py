"""One encoder takes the place of another while a worker's rooms are read on."""

from __future__ import annotations

import pytest

from actors.settings import ExchangeConfig, RoomWorkerConfig, ScheduleConfig
from streaming.events import OtherContent, RoomActivity, RoomId, RoomState
from streaming.log.topics import ROOM_ACTIVITY
from streaming.room.content_slots import encoders_of, read_by
from streaming.room.vectors import to_bytes
from tests.fake_encoder import ManyEncoders, vectors_by
from tests.unit.actors.room_stage import Stage

OLD, NEW = "old/fp32/64", "new@1/fp32/64"
CONFIG = RoomWorkerConfig(exchange=ExchangeConfig(settle_s=5.0, keep_s=20.0))


def staged(rooms: str = "abc", config: RoomWorkerConfig = CONFIG) -> Stage:
    """Rooms that the old encoder has read."""
    stage = Stage(ManyEncoders(OLD, NEW), config)
    for room in rooms:
        stage.send(stage.started(room, title=f"title {room}"), stage.said(room, f"words of {room}"))
    stage.turns(20)
    assert {stage.state(room).encoder_version for room in rooms} == {OLD}
    return stage


def many(stage: Stage) -> ManyEncoders:
    assert isinstance(stage.encoder, ManyEncoders)
    return stage.encoder


def vector(version: str, text: str) -> bytes:
    return to_bytes(vectors_by(version, [text])[0])


def other_of(state: RoomState) -> OtherContent:
    assert state.other is not None
    return state.other


def seconds(stage: Stage, count: float) -> None:
    stage.turns(int(count * 10), advance_ms=100)


def exchanged(stage: Stage) -> None:
    """The new encoder is in use now."""
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 12)
    assert stage.worker.status().encoder == NEW


def minutes_pass(stage: Stage, talking: str) -> None:
    """Five minutes in which these rooms talk, so that the windows of silent ones are forgotten."""
    for number in range(30):
        for room in talking:
            stage.send(stage.said(room, f"{room} says {number}"))
        stage.turns(10, advance_ms=1_000)


def test_while_the_new_encoder_reads_the_rooms_the_old_ones_vectors_stay_in_front() -> None:
    stage = staged()
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 5)
    for room in "bc":
        state = stage.state(room)
        assert (state.encoder_version, state.title_vector) == (OLD, vector(OLD, f"title {room}"))
        assert state.chat_vector == vector(OLD, f"words of {room}")
        seen = read_by(state, NEW)
        assert (seen.title_vector, seen.chat_vector) == (
            vector(NEW, f"title {room}"),
            vector(NEW, f"words of {room}"),
        )
        assert (seen.segment_end_ms, seen.vector_offset) == (state.segment_end_ms, state.vector_offset)
    published = stage.metrics.value("states_published_total")
    stage.turns(20)
    assert stage.metrics.value("states_published_total") == published, "nothing has changed"


def test_then_the_new_encoder_is_in_front_and_the_old_vectors_are_dropped_later() -> None:
    stage = staged()
    exchanged(stage)
    status = stage.worker.status()
    assert (status.encoder, status.next_encoder) == (NEW, "")
    stage.send(stage.said("b", "news"))
    seconds(stage, 2)
    assert encoders_of(stage.state("b")) == (NEW, OLD)
    many(stage).asked.clear()
    seconds(stage, 25)
    assert [encoders_of(stage.state(room)) for room in "abc"] == [(NEW,)] * 3
    published = stage.metrics.value("states_published_total")
    seconds(stage, 5)
    assert stage.metrics.value("states_published_total") == published
    assert read_by(stage.state("c"), NEW).chat_vector == vector(NEW, "words of c")
    assert many(stage).asked == [], "nothing is read twice"


def test_chat_that_comes_meanwhile_is_read_by_both() -> None:
    stage = staged()
    many(stage).wanted = NEW
    seconds(stage, 1)
    stage.send(stage.said("a", "first news"))
    seconds(stage, 4)
    assert encoders_of(stage.state("a")) == (OLD, NEW)
    stage.send(stage.said("a", "second news"))
    seconds(stage, 1)
    state = stage.state("a")
    text = many(stage).texts_of(OLD)[-1]
    assert "second news" in text
    assert (state.chat_vector, other_of(state).chat_vector) == (vector(OLD, text), vector(NEW, text))


def test_rooms_with_the_largest_audience_are_read_first() -> None:
    rooms = "abcdefgh"
    stage = staged(rooms, RoomWorkerConfig(exchange=ExchangeConfig(batch_texts=2)))
    for audience, room in enumerate(rooms):
        entered = RoomActivity(
            room=RoomId(room), bucket_ms=stage.clock.now_ms() // 10_000 * 10_000, entered=4**audience
        )
        stage.send(entered, topic=ROOM_ACTIVITY)
    stage.turns(5)
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 6)
    titles = [text for text in many(stage).texts_of(NEW) if text.startswith("title")]
    assert titles == [f"title {room}" for room in reversed(rooms)]


def test_texts_for_the_old_encoder_wait_for_none_of_the_new_one() -> None:
    stage = staged("abcdef", RoomWorkerConfig(exchange=ExchangeConfig(batch_texts=2)))
    many(stage).wanted = NEW
    many(stage).holds = {NEW}
    stage.send(stage.said("a", "more words"))
    seconds(stage, 6)
    assert [len(texts) for version, texts, _ in many(stage).waiting if version == NEW] == [2], "one submission"
    for number in range(10):
        stage.send(stage.said("b", f"word number {number}"))
        seconds(stage, 1)
        assert f"word number {number}" in many(stage).texts_of(OLD)[-1]
        assert stage.state("b").vector_offset == stage.state("b").chat_offset


def test_the_new_encoder_has_no_more_than_its_share_while_the_old_one_has_work() -> None:
    config = RoomWorkerConfig(
        exchange=ExchangeConfig(share=0.2, batch_texts=1), schedule=ScheduleConfig(urgent_ms=1_000)
    )
    stage = staged("abcdefghijklmnop", config)
    encoder = many(stage)
    encoder.wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 3)
    encoder.holds = {OLD, NEW}  # from here each answer takes 100 ms, and the old one always has a text to read
    before, began = len(encoder.texts_of(NEW)), 100
    for number in range(began):
        stage.send(stage.said("abcdefgh"[number % 8], f"word number {number}"))
        encoder.finish(NEW)
        encoder.finish(OLD)
        stage.turn(100)
    share = (len(encoder.texts_of(NEW)) - before) / began
    assert share == pytest.approx(0.2, abs=0.06)


def test_a_return_to_the_old_encoder_finds_its_vectors() -> None:
    stage = staged()
    exchanged(stage)
    many(stage).wanted = OLD
    many(stage).asked.clear()
    stage.send(stage.said("b", "news"))
    seconds(stage, 5)
    assert stage.worker.status().next_encoder == OLD
    assert "title b" not in many(stage).texts_of(OLD), "it has read that before"
    seconds(stage, 10)
    status = stage.worker.status()
    assert (status.encoder, status.next_encoder) == (OLD, "")
    assert stage.state("c").title_vector == read_by(stage.state("c"), OLD).title_vector == vector(OLD, "title c")


def test_an_exchange_that_is_called_off_leaves_the_old_encoder_in_use() -> None:
    stage = staged()
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 4)
    many(stage).wanted = OLD
    stage.send(stage.said("a", "and more"))
    seconds(stage, 4)
    many(stage).asked.clear()
    stage.send(stage.said("a", "and more still"))
    seconds(stage, 2)
    assert {version for version, _ in many(stage).asked} == {OLD}
    minutes_pass(stage, "ac")
    assert not any(entry.aggregate.closed_segments(NEW) for entry in stage.worker._rooms()), "nobody waits for them"
    assert [encoders_of(stage.state(room)) for room in "abc"] == [(OLD,)] * 3


def test_a_worker_that_is_restarted_goes_on_with_both() -> None:
    stage = staged("abcdefgh")
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 4)
    before = {room: stage.state(room) for room in "abcdefgh"}
    assert {encoders_of(state) for state in before.values()} == {(OLD, NEW)}
    many(stage).asked.clear()
    stage.start()
    stage.send(stage.said("a", "after the restart"))
    seconds(stage, 4)
    assert (stage.worker.status().encoder, stage.worker.status().next_encoder) == (OLD, NEW)
    for room in "bcdefgh":
        assert stage.state(room) == before[room]
    assert encoders_of(stage.state("a")) == (OLD, NEW)
    assert not any("title" in text for _, texts in many(stage).asked for text in texts)
    seconds(stage, 10)
    assert stage.worker.status().encoder == NEW


def test_what_a_silent_room_said_long_ago_is_read_by_the_new_encoder_too() -> None:
    stage = staged("abcdefgh")
    minutes_pass(stage, "abdefgh")
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 5)
    assert other_of(stage.state("c")).chat_vector == vector(NEW, "words of c")


def test_a_silent_room_whose_text_was_forgotten_by_a_restart_has_its_title_read() -> None:
    stage = staged("abcdefgh")
    minutes_pass(stage, "abdefgh")
    stage.start()
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 8)
    other = other_of(stage.state("c"))
    assert (other.title_vector, other.chat_vector) == (vector(NEW, "title c"), b"")
    assert stage.state("c").chat_vector == vector(OLD, "words of c")
    seconds(stage, 10)
    assert stage.worker.status().encoder == NEW


def test_the_new_encoders_mean_begins_with_the_next_segment() -> None:
    stage = staged("a")
    for number in range(8):
        stage.send(stage.said("a", f"before {number}"))
        seconds(stage, 10)
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 4)
    assert stage.state("a").mean_vector
    assert other_of(stage.state("a")).mean_vector == b""
    for number in range(9):
        stage.send(stage.said("a", f"after {number}"))
        seconds(stage, 10)
    mean = read_by(stage.state("a"), NEW).mean_vector
    assert mean
    assert mean in {vector(NEW, text) for text in many(stage).texts_of(NEW)}, "of one segment alone yet"


def test_an_encoder_that_is_not_to_be_had_changes_nothing() -> None:
    stage = staged()
    many(stage).wanted = "gone@2/fp32/64"
    for number in range(8):
        stage.send(stage.said("a", f"word number {number}"))
        seconds(stage, 1)
    assert (stage.worker.status().encoder, stage.worker.status().next_encoder) == (OLD, "")
    assert f"word number {number}" in many(stage).texts_of(OLD)[-1]
    assert encoders_of(stage.state("a")) == (OLD,)


def test_an_encoder_in_use_that_is_gone_gives_way_at_once_and_its_vectors_stay_for_a_while() -> None:
    stage = staged()
    many(stage).there = [NEW]
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 8)
    assert stage.worker.status().encoder == NEW
    assert [encoders_of(stage.state(room)) for room in "abc"] == [(NEW, OLD)] * 3
    assert read_by(stage.state("b"), OLD).chat_vector == vector(OLD, "words of b")


def test_vectors_of_another_encoder_than_the_one_asked_are_refused() -> None:
    stage = staged()
    many(stage).lies = {OLD: NEW}
    stage.send(stage.said("a", "a lie"))
    seconds(stage, 3)
    assert stage.state("a").chat_vector == vector(OLD, "words of a")
    assert encoders_of(stage.state("a")) == (OLD,)
    assert stage.metrics.value("vectors_refused_total") > 0
    many(stage).lies = {}
    seconds(stage, 10)
    assert stage.state("a").chat_vector == vector(OLD, many(stage).texts_of(OLD)[-1])


def test_encoders_that_do_not_agree_begin_no_exchange() -> None:
    stage = staged()
    for number in range(40):
        many(stage).wanted = (OLD, NEW)[number % 2]
        stage.send(stage.said("a", f"word number {number}"))
        stage.turns(10)
    assert stage.worker.status().next_encoder == ""
    assert many(stage).texts_of(NEW) == []


def test_what_is_said_meanwhile_waits_for_no_more_than_one_title_by_the_new_encoder() -> None:
    rooms = "abcdefghijklmnopqrstuvwxyz"
    stage = staged(rooms, RoomWorkerConfig(exchange=ExchangeConfig(batch_texts=1)))
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 6)
    first = [text.startswith("title") for text in many(stage).texts_of(NEW)][:20]
    assert first == [True, False] * 10


def test_once_answers_may_use_the_new_encoders_vectors_it_is_not_held_back() -> None:
    config = RoomWorkerConfig(
        exchange=ExchangeConfig(share=0.01, batch_texts=8, settle_s=60.0), schedule=ScheduleConfig(urgent_ms=1_000)
    )
    stage = staged("abcd", config)
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 10)
    assert stage.worker.status().read_by_next == 1.0
    many(stage).holds = {OLD}  # it has work all the time
    for number in range(10):
        stage.send(stage.said("b", f"word number {number}"))
        seconds(stage, 1)
    assert "word number 9" in many(stage).texts_of(NEW)[-1]
    assert read_by(stage.state("b"), NEW).vector_offset == stage.state("b").chat_offset


def test_once_answers_may_use_the_new_encoders_vectors_a_text_waits_for_no_other_that_is_in_flight() -> None:
    stage = staged("ab", RoomWorkerConfig(exchange=ExchangeConfig(settle_s=60.0)))
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 10)
    assert stage.worker.status().read_by_next == 1.0
    many(stage).holds = {NEW}
    for room in "ab":
        stage.send(stage.said(room, f"what {room} says"))
        seconds(stage, 1)
    asked = many(stage).texts_of(NEW)[-2:]
    assert ["what a says" in asked[0], "what b says" in asked[1]] == [True, True]


def test_meanwhile_what_is_said_passes_the_texts_that_can_wait() -> None:
    rooms = "abcdefgh"
    stage = staged(rooms, RoomWorkerConfig(exchange=ExchangeConfig(settle_s=60.0, batch_texts=3)))
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 10)
    assert stage.worker.status().read_by_next == 1.0
    many(stage).holds = {NEW}
    asked_before = len(many(stage).texts_of(NEW))
    stage.send(*(stage.started(room, title=f"another title of {room}") for room in rooms))
    seconds(stage, 2)
    assert len(many(stage).texts_of(NEW)) - asked_before == 3  # the other five wait
    stage.send(stage.said("h", "the boss is down"))
    seconds(stage, 1)
    assert "the boss is down" in many(stage).texts_of(NEW)[-1]
    many(stage).holds = set()
    many(stage).finish(NEW)
    seconds(stage, 5)
    titles = {room: read_by(stage.state(room), NEW).title_vector for room in rooms}
    assert titles == {room: vector(NEW, f"another title of {room}") for room in rooms}


def test_vectors_that_answers_may_use_are_published_at_once() -> None:
    stage = staged("ab", RoomWorkerConfig(exchange=ExchangeConfig(settle_s=60.0), statistics_every_ms=30_000))
    many(stage).wanted = NEW
    stage.send(stage.said("a", "more words"))
    seconds(stage, 40)
    assert stage.worker.status().read_by_next == 1.0
    many(stage).holds = {NEW}
    stage.send(stage.started("b", title="another title"))
    seconds(stage, 1)
    assert stage.state("b").title_vector == vector(OLD, "another title")
    many(stage).finish(NEW)
    stage.turns(5)
    assert read_by(stage.state("b"), NEW).title_vector == vector(NEW, "another title")
