"""Owns what a room's state says of its records. Never restarts one: see test_room_restart."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.codec import Decoder, encode
from streaming.events import (
    Arrival,
    ChatMessage,
    RoomActivity,
    RoomEnded,
    RoomId,
    RoomStarted,
    RoomState,
    RoomUpdated,
    StreamerId,
)
from streaming.outcome import Outcome
from streaming.room import RoomFold
from streaming.topics import ROOM_STATES
from streaming.vectors import from_bytes, to_bytes
from streaming.window import WindowConfig

START_MS = 1_700_000_010_000  # a segment begins here
SEGMENT = START_MS // 30_000


def vector(*values: float) -> bytes:
    return to_bytes(np.array(values, dtype=np.float32))


class Room:
    """Feeds one room, times in seconds; append times are event times unless told otherwise."""

    def __init__(self, config: WindowConfig | None = None) -> None:
        self.fold = RoomFold(RoomId("r"), config or WindowConfig())
        self.offset = 0

    def _at(self, at_s: float) -> int:
        self.offset += 1
        return START_MS + int(at_s * 1_000)

    def start(
        self, at_s: float = 0, title: str = "a title", language: str = "", appended_s: float | None = None
    ) -> Outcome:
        at_ms = self._at(at_s)
        event = RoomStarted(room="r", streamer="s", at_ms=at_ms, title=title, language=language, tags=["x"])
        return self.fold.apply_lifecycle(event, self.offset, at_ms if appended_s is None else self._at(appended_s))

    def update(self, at_s: float, title: str) -> Outcome:
        at_ms = self._at(at_s)
        event = RoomUpdated(room="r", streamer="s", at_ms=at_ms, title=title)
        return self.fold.apply_lifecycle(event, self.offset, at_ms)

    def end(self, at_s: float) -> Outcome:
        at_ms = self._at(at_s)
        return self.fold.apply_lifecycle(RoomEnded(room="r", at_ms=at_ms), self.offset, at_ms)

    def say(self, text: str, at_s: float, viewer: str = "v") -> Outcome:
        at_ms = self._at(at_s)
        return self.fold.apply_chat(ChatMessage(room="r", viewer=viewer, text=text, at_ms=at_ms), self.offset, at_ms)

    def enter(self, at_s: float, entered: int = 1) -> Outcome:
        at_ms = self._at(at_s)
        activity = RoomActivity(room=RoomId("r"), bucket_ms=at_ms - at_ms % 10_000, entered=entered, newcomers=1)
        return self.fold.apply_activity(activity, self.offset, at_ms)

    @property
    def state(self) -> RoomState:
        state = self.fold.state(START_MS)
        assert state is not None
        return state


def test_a_room_has_no_state_before_it_starts_and_keeps_what_came_before() -> None:
    room = Room()
    assert room.say("early bird", 0) is Outcome.ORPHAN
    assert room.enter(0) is Outcome.ORPHAN
    assert room.fold.state(START_MS) is None
    assert not room.fold.started
    room.start(1)
    assert (room.state.messages, room.state.entered) == (1, 1)


def test_an_update_of_an_unknown_room_starts_it() -> None:
    room = Room()
    assert room.update(5, "compacted away") is Outcome.APPLIED
    assert (room.state.title, room.state.status) == ("compacted away", "live")
    assert room.start(1, "the first title") is Outcome.STALE
    assert (room.state.title, room.state.started_at_ms) == ("compacted away", START_MS + 1_000)


def test_the_description_with_the_newest_time_is_in_force() -> None:
    room = Room()
    room.start(0, "first")
    room.update(10, "third")
    assert room.update(5, "second") is Outcome.STALE
    assert room.state.title == "third"
    room.update(10, "corrected")
    assert room.state.title == "corrected"


def test_an_end_is_final_until_a_later_start() -> None:
    room = Room()
    room.start(0)
    assert room.end(100) is Outcome.ENDED
    assert room.end(101) is Outcome.STALE
    assert room.update(120, "too late") is Outcome.AFTER_END
    assert room.start(100) is Outcome.STALE
    assert room.say("still here", 120) is Outcome.AFTER_END
    assert room.enter(120) is Outcome.AFTER_END
    assert (room.state.status, room.state.ended_at_ms, room.state.messages) == ("ended", START_MS + 100_000, 1)
    assert room.start(130, "again") is Outcome.REVIVED
    assert (room.state.status, room.state.ended_at_ms, room.state.title) == ("live", 0, "again")


def test_an_end_whose_clock_is_behind_ends_the_room_all_the_same() -> None:
    room = Room()
    room.start(10)
    room.end(3)
    assert room.state.status == "ended"
    assert room.start(10) is Outcome.STALE, "the same start, delivered again"


def test_a_start_of_a_live_room_is_an_update() -> None:
    room = Room()
    room.start(0)
    assert room.start(20, "other title") is Outcome.RESTARTED
    assert (room.state.title, room.state.started_at_ms) == ("other title", START_MS)


def test_a_presumed_end_is_undone_by_any_sign_of_life() -> None:
    signs: tuple[Callable[[Room], Outcome], ...] = (
        lambda room: room.say("back", 2_000),
        lambda room: room.enter(2_000),
    )
    for revive in signs:
        room = Room()
        room.start(0)
        room.fold.presume_ended()
        assert (room.state.status, room.state.ended_at_ms) == ("presumed_ended", START_MS)
        again = RoomFold(RoomId("r"), WindowConfig())
        again.restore(room.state)
        assert again.status == "presumed_ended"
        revive(room)
        assert (room.state.status, room.state.ended_at_ms) == ("live", 0)


def test_recent_entries_are_those_of_ten_minutes_before_the_newest() -> None:
    room = Room()
    room.start()
    for at_s in (0, 5, 290, 905, 200):
        room.enter(at_s)
    assert [(bucket.bucket_ms - START_MS) // 1_000 for bucket in room.state.recent] == [900]
    room.enter(
        300
    )  # ten minutes before the newest bucket began: a part of it lies within ten minutes of any event there
    assert [(bucket.bucket_ms - START_MS) // 1_000 for bucket in room.state.recent] == [300, 900]
    assert room.state.entered == 6


def test_messages_are_counted_by_ten_seconds_late_ones_too_and_copies_once() -> None:
    room = Room()
    room.start()
    for at_s, text in ((1, "a"), (2, "a"), (2, "a"), (31, "b"), (119, "c"), (12, "late")):
        room.say(text, at_s)
    assert room.state.recent_messages == (2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1)
    assert room.state.recent_messages_ms == START_MS + 110_000
    assert sum(room.state.recent_messages) == room.state.messages


@settings(max_examples=100, deadline=None, derandomize=True)
@given(random=st.randoms(use_true_random=False))
def test_activity_in_any_order_and_any_parts_gives_the_same_state(random: Random) -> None:
    came = [Arrival(START_MS + random.randrange(900) * 1_000, StreamerId(random.choice("pqr"))) for _ in range(80)]
    parts = [_activity([arrival]) for arrival in came]
    random.shuffle(came)
    whole: dict[int, list[Arrival]] = {}
    for arrival in came:
        whole.setdefault(arrival.at_ms // 10_000, []).append(arrival)
    states = []
    for activities in (parts, [_activity(sorted(together)[-32:], len(together)) for together in whole.values()]):
        room = Room()
        room.start()
        for offset, activity in enumerate(activities):
            room.fold.apply_activity(activity, offset, START_MS)
        states.append((room.state.recent, room.state.arrivals, room.state.entered, room.state.first_entered))
    assert states[0] == states[1]
    assert 0 < len(states[0][1]) <= 32


def _activity(came: list[Arrival], entered: int = 1) -> RoomActivity:
    bucket_ms = came[0].at_ms // 10_000 * 10_000
    return RoomActivity(
        room=RoomId("r"), bucket_ms=bucket_ms, entered=entered, first_entered=entered, arrivals=tuple(came)
    )


def test_a_state_of_an_earlier_build_is_read_and_folds_on() -> None:
    room = Room()
    room.start()
    room.enter(5)
    fields = msgspec.msgpack.decode(encode(room.state))
    names = [field.name for field in msgspec.structs.fields(RoomState)]
    fields[names.index("recent")] = [bucket[:3] for bucket in fields[names.index("recent")]]
    fold = RoomFold(RoomId("r"), WindowConfig())
    fold.restore(Decoder(ROOM_STATES)(msgspec.msgpack.encode(fields[: names.index("recent_messages")])))
    state = fold.state(START_MS)
    assert state is not None
    assert (state.entered, state.first_entered, state.recent_messages) == (1, 0, ())
    fold.apply_chats([("v", "hi", START_MS + 7_000, 0, START_MS + 7_000)], [0] * len(Outcome))
    assert fold.state(START_MS).recent_messages == (1,)  # type: ignore[union-attr]


def test_a_title_is_to_be_encoded_when_it_changes_and_only_then() -> None:
    room = Room()
    room.start(0, "first")
    text = room.fold.title_text()
    assert text is not None
    assert text.text == "first. x"
    assert room.fold.set_title_vector(text, vector(1, 0), "e")
    room.start(1, "first")
    assert room.fold.title_text() is None
    room.update(2, "second")
    assert not room.fold.set_title_vector(text, vector(1, 0), "e"), "the vector of a title no longer in force"
    assert room.fold.title_text() is not None


def test_chat_is_to_be_encoded_until_the_vector_saw_it_and_the_same_text_never_twice() -> None:
    room = Room()
    room.start()
    room.say("what a play", 1)
    text = room.fold.chat_text()
    assert text is not None
    room.say("what a play", 2, viewer="w")
    assert room.fold.set_chat_vector(text, vector(1, 0), "e")
    assert room.fold.chat_pending
    assert room.fold.chat_text() is None, "a copy changes no text"
    assert not room.fold.chat_pending
    assert (room.state.vector_offset, room.state.segment_end_ms) == (room.state.chat_offset, START_MS + 2_000)
    room.say("something else", 3)
    newer = room.fold.chat_text()
    assert newer is not None
    room.fold.set_chat_vector(newer, vector(0, 1), "e")
    assert not room.fold.set_chat_vector(text, vector(1, 0), "e"), "older than what the vector saw"


def test_the_vector_of_a_room_where_nothing_is_said_any_more_is_none() -> None:
    room = Room()
    room.start()
    room.say("what a play", 1)
    text = room.fold.chat_text()
    assert text is not None
    room.fold.set_chat_vector(text, vector(1, 0), "e")
    room.say("", 60)
    assert room.fold.chat_text() is None
    assert (room.state.chat_vector, room.state.chat_hash) == (b"", 0)


def test_segments_enter_the_mean_in_order_whatever_order_their_vectors_come_in() -> None:
    room = Room(WindowConfig(mean_every=1, mean_alpha=0.5))
    room.start()
    for at_s in (0, 30, 60, 95):
        room.say(f"segment at {at_s}", at_s)
    first, second = room.fold.closed_segments()[:2]
    room.fold.fold_segment(second.index, vector(0, 1), "e")
    assert (room.state.mean_vector, room.state.mean_segment) == (b"", -1)
    room.fold.fold_segment(first.index, vector(1, 0), "e")
    assert from_bytes(room.state.mean_vector).tolist() == [0.5, 0.5]
    assert room.state.mean_segment == SEGMENT + 1
    (third,) = room.fold.closed_segments()
    room.fold.skip_segment(third.index)
    assert from_bytes(room.state.mean_vector).tolist() == [0.5, 0.5]
    assert room.state.mean_segment == SEGMENT + 2


def test_a_short_text_stands_in_until_the_whole_one_is_encoded() -> None:
    room = Room(WindowConfig(short_chars=25))
    room.start()
    for at_s in range(3):
        room.say(f"this is message {at_s}", at_s)
    short = room.fold.chat_text(short=True)
    assert short is not None
    assert short.text == "this is message 2"
    room.fold.mark_published()
    room.fold.set_chat_vector(short, vector(0, 1), "e")
    assert (room.fold.dirty, room.state.chat_vector) == (True, vector(0, 1))
    assert room.state.segment_end_ms == START_MS + 2_000
    again = RoomFold(RoomId("r"), WindowConfig())
    again.restore(room.state)
    assert (room.fold.chat_pending, again.chat_pending) == (True, True)
    whole = room.fold.chat_text()
    assert whole is not None
    assert len(whole.text.splitlines()) == 3
    assert room.fold.set_chat_vector(whole, vector(1, 0), "e")
    assert not room.fold.set_chat_vector(short, vector(0, 1), "e"), "it comes late"
    assert (room.fold.chat_pending, room.state.chat_vector) == (False, vector(1, 0))


def test_a_text_that_is_short_anyway_is_whole() -> None:
    room = Room()
    room.start()
    room.say("hello there", 1)
    assert room.fold.chat_text(short=True) == room.fold.chat_text()


def test_the_first_segment_and_then_one_in_so_many_enters_the_mean_whenever_vectors_come() -> None:
    def asked(*, at_once: bool) -> list[int]:
        room, found = Room(WindowConfig(mean_every=3)), []
        room.start()
        for i in range(13):
            room.say(f"segment number {i}", 30 * i + 6)
            for segment in room.fold.closed_segments() if at_once or i == 12 else ():
                found.append(segment.index - SEGMENT)
                room.fold.fold_segment(segment.index, vector(1, 0), "e")
        assert room.state.mean_segment == SEGMENT + 11
        return found

    indexes = asked(at_once=True)
    assert indexes[0] == 0
    assert len({index % 3 for index in indexes[1:]}) == 1
    assert len(indexes) in {4, 5}
    assert asked(at_once=False) == indexes


def test_too_many_waiting_segments_are_skipped_oldest_first_and_counted() -> None:
    room = Room(WindowConfig(mean_every=1, waiting_segments=2))
    room.start()
    for i in range(6):
        room.say(f"segment number {i}", 30 * i)
    assert [segment.index - SEGMENT for segment in room.fold.closed_segments()] == [2, 3]
    assert room.fold.take_segments_skipped() == 2
    assert room.fold.take_segments_skipped() == 0


def test_vectors_of_another_encoder_are_dropped() -> None:
    room = Room()
    room.start()
    room.say("what a play", 1)
    title, chat = room.fold.title_text(), room.fold.chat_text()
    assert title is not None
    assert chat is not None
    room.fold.set_chat_vector(chat, vector(1, 0), "old")
    room.fold.set_title_vector(title, vector(1, 0), "new")
    assert (room.state.chat_vector, room.state.encoder_version) == (b"", "new")
    assert room.fold.chat_text() == chat


def test_a_declared_language_stands_and_an_undeclared_one_is_guessed() -> None:
    room = Room()
    room.start(0, "что происходит сегодня")
    assert (room.state.language, room.state.language_guessed) == ("ru", True)
    room.say("no sé por qué está así", 1)
    room.say("pero eso es muy bien", 2)
    text = room.fold.chat_text()
    assert text is not None
    room.fold.set_chat_vector(text, vector(1, 0), "e")
    assert (room.state.language, room.state.language_guessed) == ("es", True)
    room.start(3, language="pt-BR")
    assert (room.state.language, room.state.language_guessed) == ("pt-BR", False)


def test_a_segment_without_text_is_published_and_held_back_no_longer() -> None:
    room = Room()
    room.start()
    room.say("", 1)
    assert room.fold.chat_text() is None
    room.fold.mark_published()
    room.fold.close_idle(START_MS + 200_000)
    assert (room.fold.dirty, room.state.mean_segment) == (True, SEGMENT)
    room.fold.mark_published()
    assert room.fold.retained_offset(START_MS + 200_000) is None


def test_only_what_is_not_published_is_dirty_and_held_back() -> None:
    room = Room()
    room.start()
    room.say("what a play", 1)
    title, chat = room.fold.title_text(), room.fold.chat_text()
    assert title is not None
    assert chat is not None
    room.fold.set_title_vector(title, vector(1, 0), "e")
    room.fold.set_chat_vector(chat, vector(1, 0), "e")
    assert (room.fold.dirty, room.fold.unpublished_rooms_offset) == (True, 1)
    room.fold.mark_published()
    assert (room.fold.dirty, room.fold.unpublished_rooms_offset) == (False, None)
    assert room.fold.retained_offset(START_MS + 50_000) == 2, "the window"
    room.fold.close_idle(START_MS + 200_000)
    (segment,) = room.fold.closed_segments()
    assert room.fold.retained_offset(START_MS + 200_000) == 2, "the segment that is not in the mean"
    room.fold.fold_segment(segment.index, vector(1, 0), "e")
    assert room.fold.retained_offset(START_MS + 200_000) == 2, "the mean that is not published"
    room.fold.mark_published()
    assert room.fold.retained_offset(START_MS + 200_000) is None
    again = msgspec.structs.replace(room.state, published_ms=0)
    assert again.window_messages == 1, "what was counted stays said while nothing new comes"
