"""Tests of what the streamer says: its share of a text, and that it is no message. Never restarts a room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.events import Outcome, RoomState
from streaming.room.slice import TRANSCRIPTS_PER_SLICE
from streaming.room.text import build_mixed_text, build_speech_text
from streaming.room.window import ChatLine, ChatWindow
from streaming.room.window_config import WindowConfig
from tests.unit.streaming.room.scripted_room import SEGMENT, START_MS, Room, vector

COUNTED = (
    "messages", "window_messages", "window_chatters", "previous_messages", "chat_at_ms", "chat_arrived_ms",
    "recent_messages", "recent_heard", "recent_messages_ms",
)  # fmt: skip
WORDS = ("we", "open", "with", "this", "gambit", "and", "then", "the", "knight", "goes", "because", "that", "pawn")


def counted(state: RoomState) -> list[object]:
    return [getattr(state, name) for name in COUNTED]


def sentences(random: Random, number: int, most_words: int) -> list[str]:
    said = [" ".join(random.sample(WORDS, random.randint(2, most_words))) for _ in range(number)]
    return [f"{place} {text}" for place, text in enumerate(said)]  # no two are the same


def mixed(written: Sequence[str], spoken: Sequence[str], share: float, max_chars: int = 256) -> str:
    """The text of messages and transcripts, one every 100 ms, the last one the newest."""
    window = ChatWindow(WindowConfig(speech_share=share, text_chars=max_chars))
    said: list[tuple[str | None, int, str]] = [(f"v{n}", n, text) for n, text in enumerate(written)]
    said += [(None, n, text) for n, text in enumerate(spoken)]
    lines: list[ChatLine] = [(viewer, text, START_MS + n * 100, 0, START_MS + 30_000) for viewer, n, text in said]
    window.add_all(lines, [0] * len(Outcome))
    return window.text()


def test_a_room_where_nobody_writes_has_the_text_of_what_is_said() -> None:
    room = Room()
    room.start()
    assert room.speak("we open with the queen's gambit", 1) is Outcome.APPLIED
    assert room.speak("and now the knight", 6) is Outcome.APPLIED
    _, text = room.texts()
    assert text.text == "and now the knight\nwe open with the queen's gambit"
    assert text.at_ms == START_MS + 6_000
    room.aggregate.set_chat_vector(text, vector(1.0), "e")
    assert room.state.chat_vector == vector(1.0)
    assert (room.state.segment_end_ms, room.state.speech_at_ms) == (START_MS + 6_000, START_MS + 6_000)
    assert room.state.alive_ms == START_MS + 6_000
    assert room.aggregate.chat_text() is None


def test_speech_is_no_message() -> None:
    room, silent = Room(), Room()
    for each in (room, silent):
        each.start()
        each.say("hello there everybody", 1)
        each.say("what an opening", 4, viewer="w")
    for second in range(2, 5):
        room.speak(f"sentence number {second}", second + 0.5)
    room.speak("what was said long ago", -500)  # late
    assert counted(room.state) == counted(silent.state)
    assert room.aggregate.num_heard == silent.aggregate.num_heard == 2


def test_speech_moves_the_time_on_and_closes_segments() -> None:
    room = Room()
    room.start()
    room.say("what an opening", 1)
    room.speak("we open with the queen's gambit", 3)
    room.speak("another minute has passed", 61)
    assert [segment.text for segment in room.aggregate.closed_segments()] == [
        "we open with the queen's gambit\nwhat an opening"
    ]
    assert room.aggregate.closed_segments()[0].index == SEGMENT
    assert room.say("this was said a minute before", 0.5) is Outcome.LATE
    assert (room.state.window_messages, room.state.messages, room.state.chat_at_ms) == (0, 2, START_MS + 1_000)


def test_a_late_transcript_is_dropped_and_a_second_copy_recognised() -> None:
    room = Room()
    room.start()
    assert room.speak("we open with the queen's gambit", 100) is Outcome.APPLIED
    assert room.speak("we open with the queen's gambit", 100, appended_s=101) is Outcome.DUPLICATE
    assert room.speak("long ago", 39) is Outcome.LATE
    assert room.texts()[1].text == "we open with the queen's gambit"


def test_a_transcript_whose_clock_is_ahead_does_not_make_the_chat_late() -> None:
    room = Room()
    room.start()
    room.speak("from the future", 50, appended_s=2)
    assert room.say("said after that", 3) is Outcome.APPLIED
    assert room.state.speech_at_ms == START_MS + 2_000


def test_an_idle_segment_of_speech_alone_closes() -> None:
    room = Room()
    room.start()
    room.speak("the last words of today", 1)
    room.aggregate.close_idle(START_MS + 61_001)
    assert [segment.text for segment in room.aggregate.closed_segments()] == ["the last words of today"]


def test_with_a_share_of_nothing_a_room_is_as_without_speech() -> None:
    config = replace(WindowConfig(), speech_share=0.0)
    room, silent = Room(config), Room(config)
    for each in (room, silent):
        each.start()
        each.say("what an opening", 1)
    room.speak("we open with the queen's gambit", 70)
    assert room.texts()[1].text == silent.texts()[1].text
    assert replace_offsets(room.state) == replace_offsets(silent.state)
    assert room.aggregate.closed_segments() == []


def replace_offsets(state: RoomState) -> list[object]:
    return [getattr(state, name) for name in state.__struct_fields__ if name not in ("chat_offset", "published_ms")]


@settings(deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.sampled_from([1, 5, 40]))
def test_without_speech_the_share_changes_no_text(seed: int, share: float, number: int) -> None:
    random = Random(seed)
    written = [random.choice(["KEKW", "lol lol", *sentences(random, 1, 9)]) for _ in range(number)]
    assert mixed(written, [], share) == mixed(written, [], 0.0)


@settings(deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from([0.1, 0.25, 0.5, 0.8]))
def test_speech_has_its_share_of_the_text_and_of_every_beginning(seed: int, share: float) -> None:
    random = Random(seed)
    written, spoken = sentences(random, 60, 6), sentences(random, 60, 10)
    text = mixed(written, spoken, share)
    assert len(text) <= 256
    known = set(written)
    longest = max(map(len, text.split("\n")))
    spoken_chars = [0 if line in known else len(line) + 1 for line in text.split("\n")]
    found = sum(spoken_chars) / (len(text) + 1)
    assert found > share - 0.05, "a transcript is cut to fit, so nothing of the share is lost but a word"
    said, so_far = 0, 0
    for line, chars in zip(text.split("\n"), spoken_chars, strict=True):
        said, so_far = said + chars, so_far + len(line) + 1
        assert abs(said - found * so_far) <= longest + 1, text


def test_what_one_side_does_not_need_the_other_takes() -> None:
    random = Random(1)
    written, spoken = sentences(random, 60, 6), sentences(random, 60, 10)
    text = mixed(written[:1], spoken, 0.25)
    assert written[0] in text.split("\n")
    assert len(text) > 230, "speech has taken what the one message leaves"
    text = mixed(written, spoken[:1], 0.75)
    assert spoken[0] in text.split("\n")
    assert len(text) > 200, "and chat what the one transcript leaves"
    assert set(mixed(written[:2], spoken[:2], 0.5).split("\n")) == {*written[:2], *spoken[:2]}


def test_a_long_transcript_is_cut_between_words_so_that_the_newest_is_always_there() -> None:
    long = " ".join(f"word{n}" for n in range(100))
    text = mixed(sentences(Random(2), 60, 6), [long], 0.5)
    found = next(line for line in text.split("\n") if line.startswith("word0 "))
    assert 100 < len(found) < len(text) - 50
    assert long.startswith(found + " ")
    unspaced = "今日はいい天気ですね" * 3 + "将棋の話をしましょうか先手は七六歩から始めます角道を開けて"
    assert len(build_speech_text([(0, unspaced)], 20, 256)) == 20


def test_speech_is_the_same_in_whatever_order_it_comes() -> None:
    spoken = [(None, f"sentence number {n}", START_MS + n * 10, 0, START_MS + 30_000) for n in range(60)]
    texts = set()
    for seed in range(20):
        window = ChatWindow(WindowConfig(text_chars=10_000))
        lines: list[ChatLine] = [*spoken]
        Random(seed).shuffle(lines)
        window.add_all(lines, [0] * len(Outcome))
        texts.add(window.text())
    assert len(texts) == 1
    assert texts.pop().count("\n") == TRANSCRIPTS_PER_SLICE - 1, "a flood of transcripts is bounded"


def test_what_is_repeated_is_in_the_text_once() -> None:
    room = Room()
    room.start()
    room.speak("thank you for watching", 1)
    room.speak("Thank you for watching", 4)
    room.speak("thanks thanks thanks thanks", 5)
    assert room.texts()[1].text == "thanks\nThank you for watching"


def test_a_short_text_has_both_too() -> None:
    room = Room()
    room.start()
    for second in range(20):
        room.say(f"message number {second}", second)
        room.speak(f"sentence number {second}", second + 0.5)
    short = room.aggregate.chat_text(short=True)
    assert short is not None
    assert short.short
    assert len(short.text) <= WindowConfig().short_chars
    assert {line.split()[0] for line in short.text.split("\n")} == {"message", "sentence"}


def test_the_language_is_guessed_from_what_is_said_as_well() -> None:
    room = Room()
    room.start()
    room.speak("heute ist das eine ganz andere Eröffnung und ich bin nicht sicher", 1)
    _, text = room.texts()
    room.aggregate.set_chat_vector(text, vector(1.0), "e")
    assert (room.state.language, room.state.chat_language) == ("de", "de")


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("max_chars", [1, 2, 7, 30])
def test_a_text_is_never_longer_than_it_may_be(share: float, max_chars: int) -> None:
    random = Random(3)
    for _ in range(50):
        written, spoken = (sentences(random, random.randint(0, 4), 4) for _ in range(2))
        text = mixed(written, spoken, share, max_chars)
        assert len(text) <= max_chars
        assert not text.startswith("\n")
        assert not text.endswith("\n")


def test_chat_is_asked_for_no_more_than_is_left() -> None:
    asked: list[int] = []

    def chat(max_chars: int) -> str:
        asked.append(max_chars)
        return "x" * max_chars

    text = build_mixed_text(chat, [(0, "twelve chars"), (1, "never has room, ever")], 0.1, 100, 256)
    assert asked == [89]
    assert len(text) <= 100
