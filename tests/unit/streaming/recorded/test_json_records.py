"""Recordings and the decoder of the log: what would be a dead letter is refused before the first event."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from streaming.errors import InputFileError
from streaming.events import MAX_ID_LENGTH, RoomEnded, RoomStarted
from streaming.log.codec import Decoder
from streaming.recorded.json_records import REFUSED, LogCheck
from streaming.recorded.playback import Timeline
from streaming.recorded.recorded_rooms import Selection
from streaming.recorded.recording import Kind, Recording
from streaming.recorded.replay import Channel, Replay, read_channels

T = 1_739_751_496_177


def opened(folder: Path, kind: Kind, *rows: dict[str, Any]) -> Recording:
    path = folder / f"{kind}.jsonl"
    path.write_text("".join(json.dumps({"at_ms": T + at, **row}) + "\n" for at, row in enumerate(rows)))
    return Recording.open(path, kind)


def replay_of(recording: Recording, **how: Any) -> Replay:
    places = {"chat": "chat", "rooms": "rooms", "viewer-events": "viewer_events"}
    return Replay(**{places[recording.kind]: recording}, **how)


VISIT = {"viewer": "w-4", "room": "r-81", "streamer": "ana", "action": "watch", "seconds": 5}
START = {"type": "started", "room": "r-81", "streamer": "ana", "title": "t"}
SAID = {"channel": "ana", "viewer": "1", "text": "x"}
BAD: dict[str, tuple[Kind, dict[str, Any], str]] = {
    "too many seconds": (
        "viewer-events",
        {**VISIT, "seconds": 90_000},
        "would be refused on the log: viewer-events: .*seconds",
    ),
    "negative seconds": (
        "viewer-events",
        {**VISIT, "seconds": -1},
        "would be refused on the log: viewer-events: .*seconds",
    ),
    "an unknown action": ("viewer-events", {**VISIT, "action": "jump"}, "action is 'jump'; it is enter"),
    "an action that is null": ("viewer-events", {**VISIT, "action": None}, "action is ''; it is enter"),
    "an unknown type": ("rooms", {**START, "type": "paused"}, "type is 'paused'; it is started"),
    "a start without a streamer": (
        "rooms",
        {**START, "streamer": None},
        "streamer is empty; a room that starts has one",
    ),
    "an id that is too long": ("chat", {**SAID, "viewer": "v" * 129}, "viewer is 129 characters long"),
    "no viewer": ("chat", {**SAID, "viewer": None}, "viewer is empty"),
    "a channel that is too long": ("chat", {**SAID, "channel": "c" * 113}, "channel is 113 characters long; rooms are"),
    "too much text": ("chat", {**SAID, "text": "x" * 2**22}, r"is a record of 4,194,\d\d\d bytes; the log takes"),
}
GOOD: dict[Kind, dict[str, Any]] = {"viewer-events": VISIT, "rooms": START, "chat": SAID}


@pytest.mark.parametrize("name", BAD)
def test_a_row_that_would_be_a_dead_letter_is_refused_with_its_number_before_the_first_event(
    tmp_path: Path, name: str
) -> None:
    kind, bad, message = BAD[name]
    recording = opened(tmp_path, kind, GOOD[kind], GOOD[kind], bad)
    with pytest.raises(InputFileError, match=rf"{kind}\.jsonl: row 3: {message}"):
        next(iter(replay_of(recording).events(Timeline())))


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_are_left_out_and_counted_and_the_others_are_played(tmp_path: Path, name: str) -> None:
    kind, bad, _ = BAD[name]
    recording = opened(tmp_path, kind, GOOD[kind], bad, bad, GOOD[kind])
    recording.check(LogCheck(kind, Selection()), skip_bad=True)
    assert list(recording.bad) == [2, 3]
    events = list(replay_of(recording).events(Timeline()))
    topic = {"viewer-events": "viewer-events", "rooms": "rooms", "chat": "chat"}[kind]
    assert [event.at_ms for event in events if event.topic == topic] == [T, T + 3]
    for event in events:
        Decoder(event.topic)(event.value)


def test_left_out_rows_move_no_other_row_of_a_file_that_is_out_of_order(tmp_path: Path) -> None:
    rows = [
        {"at_ms": T + at, "channel": "ana", "viewer": f"v{at}" if at % 3 else None, "text": f"at {at}"}
        for at in range(90)
    ]
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[::-1]))
    recording = Recording.open(path)
    recording.check(LogCheck("chat", Selection()), skip_bad=True)
    played = [
        (record.viewer, record.text, at_ms - T)
        for at_ms, topic, record in Replay(recording).records()
        if topic == "chat"
    ]
    assert played == [(f"v{at}", f"at {at}", at) for at in range(90) if at % 3]


def test_rows_that_are_not_selected_are_not_asked_of_the_decoder(tmp_path: Path) -> None:
    recording = opened(tmp_path, "viewer-events", VISIT, {**VISIT, "seconds": 90_000})
    selection = Selection(until_ms=T + 1)
    assert len(list(replay_of(recording, selection=selection).events(Timeline()))) == 1
    recording.check(LogCheck("viewer-events", Selection()), skip_bad=True)
    assert recording.bad[2].kind == REFUSED


def test_capitals_of_types_and_actions_are_read_as_the_log_reads_them(tmp_path: Path) -> None:
    rooms = opened(tmp_path, "rooms", {**START, "type": "STARTED"}, {**START, "type": "Ended", "streamer": None})
    assert [type(record) for _, _, record in Replay(rooms=rooms).records()] == [RoomStarted, RoomEnded]
    visits = opened(tmp_path, "viewer-events", {**VISIT, "action": "WATCH"})
    assert [record.action for _, _, record in Replay(viewer_events=visits).records()] == ["watch"]


def test_no_event_of_a_recording_of_tags_is_a_dead_letter(tmp_path: Path) -> None:
    recording = opened(tmp_path, "rooms", {**START, "tags": [f"t{i}" for i in range(33)], "title": "cut \ud83d"})
    try:
        events = list(Replay(rooms=recording).events(Timeline()))
    except InputFileError as err:
        assert "row 1: would be refused on the log" in str(err)
    else:
        assert [Decoder(event.topic)(event.value).room for event in events] == ["r-81"]


def test_a_derived_room_that_the_log_would_refuse_is_said(tmp_path: Path) -> None:
    recording = opened(tmp_path, "chat", {**SAID, "channel": "c" * MAX_ID_LENGTH})
    with pytest.raises(InputFileError, match=r"chat\.jsonl: row 1: channel is 128 characters long; rooms are named"):
        next(iter(Replay(recording).events(Timeline())))
    recording = opened(tmp_path, "chat", {**SAID, "channel": "c" * 112, "window": 2**60})
    with pytest.raises(InputFileError, match=r"chat\.jsonl: the room 'ccc.*would be refused on the log"):
        next(iter(Replay(recording).events(Timeline())))
    channels = {"ana": Channel(language="l" * 10_000)}
    recording = opened(tmp_path, "chat", SAID)
    try:
        events = list(Replay(recording, channels=channels).events(Timeline()))
    except InputFileError as err:
        assert "language" in str(err)
    else:
        assert all(Decoder(event.topic)(event.value) for event in events)


@pytest.mark.parametrize(
    ("factor", "unit"), [(1 / 1_000, "seconds"), (1_000, "microseconds"), (1_000_000, "nanoseconds")]
)
def test_a_recording_in_another_unit_lasts_as_long_as_it_did_and_says_so(
    tmp_path: Path, factor: float, unit: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = T // 1_000 * 1_000
    rows = [{**SAID, "at_ms": int((whole + 1_000 * at) * factor)} for at in range(60)]
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with caplog.at_level(logging.WARNING):
        replay = Replay(Recording.open(path))
        events = list(replay.events(Timeline()))
    assert (replay.span(1, None).lasts_ms, events[0].at_ms) == (59_000, whole)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: at_ms counts {unit}, not milliseconds; it is read so"
    ]


@pytest.mark.parametrize("at_ms", [0, 1, 59_000, 5_400_000, 30_000_000_000])
def test_a_recording_of_1970_is_refused(tmp_path: Path, at_ms: int) -> None:
    recording = opened(tmp_path, "chat", {**SAID, "at_ms": at_ms})
    with pytest.raises(InputFileError, match=r"row 1: at_ms is \d+, which is a time of 1970"):
        Replay(recording)


def test_units_do_not_change_within_a_file(tmp_path: Path) -> None:
    rows = [{**SAID, "text": "x" * 300, "at_ms": T + at} for at in range(20_000)]
    recording = opened(tmp_path, "chat", *rows, {**SAID, "at_ms": T // 1000})
    with pytest.raises(InputFileError, match=r"row 20001: at_ms is 1739751496, which is seconds .*count milliseconds"):
        Replay(recording)


def test_the_file_of_channels_may_be_anything_and_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "channels.csv"
    path.write_bytes(b"channel,title,seen\nana,se\xf1al,2025-02-17\n")
    with pytest.raises(InputFileError, match=r"channels\.csv: row 1: is not UTF-8"):
        read_channels(path)
    path.write_bytes(b"channel,title,seen\nana,2025-02-17,se\xf1al\n")
    assert read_channels(path) == {"ana": Channel(title="2025-02-17")}
    path.write_bytes(b"name,title\nana,x\n")
    with pytest.raises(InputFileError, match="no column channel"):
        read_channels(path)
