"""Tests of what a partition of rooms takes by its time: ends are believed, 1970 is not, fast clocks are slowed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.rooms.partition import RoomPartition, Tally
from streaming.clock import ManualClock
from streaming.events import Outcome
from streaming.log.codec import Decoder
from streaming.log.dead_letter import DeadLetters
from streaming.log.memory_log import MemoryLog
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import CHAT, DEAD_LETTER, ROOMS
from streaming.metrics import MemoryMetrics
from streaming.room.window_config import WindowConfig

START_MS = 1_764_000_000_000
MINUTE_MS = 60_000
YEAR_MS = 365 * 24 * 60 * MINUTE_MS


class Home:
    """A partition, fed a record at a time."""

    def __init__(self) -> None:
        self.log, self.metrics = MemoryLog(ManualClock(), {DEAD_LETTER: 1}), MemoryMetrics()
        self.sink = self.log.sink()
        self.partition = RoomPartition(0, WindowConfig(), DeadLetters(self.sink, self.metrics))
        self.offset = 0
        self.tally = Tally()

    def take(self, topic: str, appended_ms: int, **fields: Any) -> None:
        value = json.dumps({"room": "r", **fields}).encode()
        self.partition.apply(topic, [MemoryRecord(topic, 0, self.offset, appended_ms, b"r", value)], self.tally)
        self.offset += 1

    def start(self, at_ms: int = START_MS, appended_ms: int = START_MS) -> None:
        self.take(ROOMS, appended_ms, type="started", streamer="s", at_ms=at_ms)

    def speak(self, at_ms: float, text: str, appended_ms: int) -> None:
        self.take(CHAT, appended_ms, type="speech", text=text, at_ms=at_ms)

    def end(self, at_ms: float, appended_ms: int) -> None:
        self.take(ROOMS, appended_ms, type="ended", at_ms=at_ms)

    @property
    def state(self) -> Any:
        return self.partition.rooms["r"].aggregate.state(0)

    @property
    def letters(self) -> list[str]:
        self.sink.flush()
        found = self.log.reader(self.log.partitions(DEAD_LETTER)).poll(0).records.values()
        return [Decoder(DEAD_LETTER)(record.value or b"").error for records in found for record in records]


@pytest.mark.parametrize(
    "at_ms",
    [
        START_MS + 3 * MINUTE_MS,  # two minutes ahead
        START_MS + 40 * YEAR_MS,
        (START_MS + MINUTE_MS) // 1_000,
        (START_MS + MINUTE_MS) * 1_000,
        START_MS - MINUTE_MS,  # before the start
        START_MS - 30 * YEAR_MS,
        0,
        -1,
        10**30,
    ],
)
def test_an_end_is_believed_whatever_its_clock_says(at_ms: int) -> None:
    owned = Home()
    owned.start()
    owned.end(at_ms, START_MS + MINUTE_MS)
    assert owned.state.status == "ended"
    assert START_MS <= owned.state.ended_at_ms <= START_MS + MINUTE_MS
    assert owned.letters == []
    assert owned.tally.ends_ahead == (at_ms >= START_MS + 3 * MINUTE_MS and at_ms < START_MS * 1_000)


def test_an_end_with_a_fast_clock_does_not_swallow_the_restart() -> None:
    owned = Home()
    owned.start()
    owned.end(START_MS + 40 * YEAR_MS, START_MS + MINUTE_MS)
    owned.start(START_MS + 2 * MINUTE_MS, START_MS + 2 * MINUTE_MS)
    assert owned.state.status == "live"
    assert owned.state.started_at_ms == START_MS + 2 * MINUTE_MS


def test_a_start_with_a_fast_clock_does_not_outlive_a_later_description() -> None:
    owned = Home()
    owned.start(START_MS + 50_000, START_MS)
    owned.take(ROOMS, START_MS + 1_000, type="updated", streamer="s", title="new", at_ms=START_MS + 1_000)
    assert (owned.state.title, owned.state.started_at_ms) == ("new", START_MS)


def test_only_an_end_is_believed_more_than_a_minute_ahead() -> None:
    owned = Home()
    owned.start(START_MS + 2 * MINUTE_MS, START_MS)
    assert owned.partition.rooms == {}
    assert "over a minute after it arrived" in owned.letters[0]


@pytest.mark.parametrize("at_ms", [0, 5, 3_600_000])
def test_what_counts_from_a_start_of_its_own_is_refused_where_the_log_lives_today(at_ms: int) -> None:
    owned = Home()
    owned.start()
    owned.take(CHAT, START_MS, type="chat", viewer="v", text="hi", at_ms=at_ms)
    assert owned.state.messages == 0
    assert "before 1990" in owned.letters[0]


def test_the_past_of_a_recording_is_legal() -> None:
    owned = Home()
    owned.start(START_MS - 30 * YEAR_MS)
    owned.take(CHAT, START_MS, type="chat", viewer="v", text="hi", at_ms=START_MS - 30 * YEAR_MS)
    assert (owned.state.messages, owned.letters) == (1, [])


def test_chat_in_seconds_fills_the_window_as_it_was_said_and_is_counted() -> None:
    owned = Home()
    owned.start()
    for second in range(120):
        appended_ms = START_MS + 1_000 * second
        owned.take(CHAT, appended_ms, type="chat", viewer="v", text=f"line {second}", at_ms=appended_ms // 1_000)
    assert owned.state.window_messages == 30
    assert owned.metrics.value("records_mended_total", topic=CHAT, reason="seconds") == 120


def test_a_room_is_seen_for_all_its_null_fields_and_tags() -> None:
    owned = Home()
    owned.take(ROOMS, START_MS, type="started", streamer=7, at_ms=START_MS, title=None, tags=list(range(40)))
    assert (owned.state.streamer, len(owned.state.tags)) == ("7", 32)
    for reason in ("null", "number_for_text", "many_tags"):
        assert owned.metrics.value("records_mended_total", topic=ROOMS, reason=reason) == 1


def test_a_tombstone_says_nothing_of_a_rooms_life() -> None:
    owned = Home()
    owned.start()
    owned.partition.apply(ROOMS, [MemoryRecord(ROOMS, 0, 1, START_MS, b"r", None)], Tally())
    assert (owned.state.status, owned.letters) == ("live", [])


def test_a_room_whose_streamer_talks_wants_a_vector_though_nobody_writes() -> None:
    owned = Home()
    owned.start()
    owned.speak(START_MS + 1_000, "we open with the queen's gambit", START_MS + 2_000)
    room = owned.partition.rooms["r"]
    assert owned.partition.touched == {room: 0}, "it is no message that an audience waits for"
    assert room.aggregate.chat_text().text == "we open with the queen's gambit"  # type: ignore[union-attr]
    assert (owned.state.messages, owned.state.chat_offset, owned.state.alive_ms) == (0, 1, START_MS + 2_000)
    assert owned.tally.outcomes[CHAT][Outcome.APPLIED] == 1


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [(START_MS + 10 * MINUTE_MS, "hello"), (0, "hello"), (START_MS, ["hello"])],
)
def test_a_transcript_that_chat_would_be_refused_as_is_refused(at_ms: int, text: Any) -> None:
    owned = Home()
    owned.start()
    owned.speak(at_ms, text, START_MS)
    assert len(owned.letters) == 1
    assert owned.partition.rooms["r"].aggregate.chat_text() is None


def test_a_huge_transcript_is_cut_and_an_empty_one_says_nothing() -> None:
    owned = Home()
    owned.start()
    owned.speak(START_MS, "", START_MS)
    assert owned.partition.rooms["r"].aggregate.chat_text() is None
    owned.speak(START_MS + 1_000, "words " * 10 + "and more " + "of it, each one another " * 100_000, START_MS + 1_000)
    text = owned.partition.rooms["r"].aggregate.chat_text()
    assert text is not None
    assert 0 < len(text.text) <= WindowConfig().speech_chars
    assert owned.letters == []
