"""Tests that hold replay to its contract: what is derived of chat, time order across files, moved times, and pace."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from streaming.clock import ManualClock
from streaming.errors import InputFileError
from streaming.events import ViewerEvent
from streaming.log.topics import ROOMS
from streaming.recorded.playback import Event, Pace, Timeline, play
from streaming.recorded.recorded_rooms import Selection
from streaming.recorded.recording import Recording
from streaming.recorded.replay import Channel, Replay, read_channels

NOW_MS = 1_800_000_000_000
BASE_MS = 1_700_000_000_000  # what the times of these tests count from
HEADER = "at_ms,window,channel,viewer,text\n"


def chat_file(folder: Path, rows: str, header: str = HEADER) -> Recording:
    path = folder / "chat.csv"
    path.write_text(header + based(rows))
    return Recording.open(path)


def based(rows: str) -> str:
    """Rows whose first column counts from BASE_MS."""
    return re.sub(r"^\d+", lambda at_ms: str(BASE_MS + int(at_ms[0])), rows, flags=re.MULTILINE)


def played(replay: Replay, timeline: Timeline | None = None) -> list[tuple[Any, ...]]:
    """What was played: the kind, the room, the viewer if any, the time; one that is not moved counts from BASE_MS."""
    seen = []
    base_ms = 0 if timeline else BASE_MS
    for event in replay.events(timeline or Timeline()):
        record = event.record
        assert record.at_ms == event.at_ms
        kind = record.action if isinstance(record, ViewerEvent) else event.value.split(b'"')[3].decode()
        where = f"{event.topic}:{kind}"
        seen.append((where, record.room, getattr(record, "viewer", None), record.at_ms - base_ms))
    return seen


def test_chat_alone_gives_rooms_and_visits(tmp_path: Path) -> None:
    chat = chat_file(tmp_path, "1000,0,ann,v1,hi\n2000,0,ann,v1,again\n3000,0,ann,v2,bye\n")
    assert played(Replay(chat)) == [
        ("rooms:started", "ann-w0", None, 1000),
        ("viewer-events:enter", "ann-w0", "v1", 1000),
        ("viewer-events:chat", "ann-w0", "v1", 1000),
        ("chat:chat", "ann-w0", "v1", 1000),
        ("viewer-events:chat", "ann-w0", "v1", 2000),
        ("chat:chat", "ann-w0", "v1", 2000),
        ("viewer-events:enter", "ann-w0", "v2", 3000),
        ("viewer-events:chat", "ann-w0", "v2", 3000),
        ("chat:chat", "ann-w0", "v2", 3000),
        ("rooms:ended", "ann-w0", None, 3000),
    ]


def test_records_are_those_of_the_events(tmp_path: Path) -> None:
    said = ((0, "ann", "v"), (1, "ann", "v"), (2, "bob", 'quo"te'), (3, "ann", "v"), (40, "ann", "w"), (75, "bob", "v"))
    rows = "".join(f"{at * 60_000},0,{who},{viewer},x {at}\n" for at, who, viewer in said)
    channels = {"ann": Channel("a title", "a category", "de")}
    replay = Replay(chat_file(tmp_path, rows), channels=channels)
    events = [(event.at_ms, event.topic, event.record) for event in replay.events(Timeline())]
    assert list(replay.records()) == events
    rooms = tmp_path / "rooms.csv"
    rooms.write_text("at_ms,type,room,streamer\n" + based("1000,started,ann,s\n9000,ended,ann,s\n"))
    given = Replay(rooms=Recording.open(rooms, "rooms"))
    assert list(given.records()) == [(event.at_ms, event.topic, event.record) for event in given.events(Timeline())]


def test_a_replay_that_is_stopped_can_end_the_rooms_that_are_live(tmp_path: Path) -> None:
    replay = Replay(chat_file(tmp_path, "1000,0,ann,v,a\n1500,0,bob,v,b\n2000,0,bob,v,c\n9000,0,ann,v,d\n"))
    for event in replay.events(Timeline()):
        if event.at_ms == BASE_MS + 2000 and event.topic == "rooms":
            break
    assert [(event.record.room, event.at_ms) for event in replay.close(2000)] == [("ann-w0", 2000)]
    assert replay.close(2000) == []


def test_each_recorded_window_of_a_channel_is_a_room(tmp_path: Path) -> None:
    chat = chat_file(tmp_path, "1000,0,ann,v,a\n1500,0,bob,v,b\n9000,1,ann,v,c\n")
    rooms = [(kind, room, at) for kind, room, _, at in played(Replay(chat)) if kind.startswith("rooms")]
    assert rooms == [
        ("rooms:started", "ann-w0", 1000),
        ("rooms:ended", "ann-w0", 1000),
        ("rooms:started", "bob-w0", 1500),
        ("rooms:ended", "bob-w0", 1500),
        ("rooms:started", "ann-w1", 9000),
        ("rooms:ended", "ann-w1", 9000),
    ]


@pytest.mark.parametrize("windows", [(0, 2**20), (-1, 5), (1_739_751_496_177_000, 1_739_751_496_177_001), (0, 2**62)])
def test_windows_may_be_any_numbers(tmp_path: Path, windows: tuple[int, int]) -> None:
    one, other = windows
    rows = "".join(
        f"{BASE_MS + at},{window},{channel},v,x\n"
        for at, (channel, window) in enumerate([("ann", one), ("bob", one), ("ann", other), ("bob", other)])
    )
    path = tmp_path / "chat.csv"
    path.write_text(HEADER + rows)
    rooms = [record.room for _, topic, record in Replay(Recording.open(path)).records() if topic == ROOMS]
    assert sorted(set(rooms)) == sorted(f"{name}-w{window}" for name in ("ann", "bob") for window in windows)


def test_without_windows_half_an_hour_of_silence_parts_two_rooms(tmp_path: Path) -> None:
    minute = 60_000
    rows = "".join(f"{at * minute},{who},v,x\n" for at, who in ((0, "ann"), (28, "bob"), (29, "ann"), (59, "ann")))
    chat = chat_file(tmp_path, rows, "at_ms,channel,viewer,text\n")
    started = [(room, at // minute) for kind, room, _, at in played(Replay(chat)) if kind == "rooms:started"]
    assert started == [("ann-w0", 0), ("bob-w0", 28), ("ann-w1", 59)]


def test_half_an_hour_of_silence_parts_two_rooms_within_a_window_too(tmp_path: Path) -> None:
    minute = 60_000
    rows = "".join(f"{at * minute},{window},ann,v,x\n" for at, window in ((0, 0), (29, 0), (59, 0), (60, 1), (90, 1)))
    seen = [room for kind, room, _, _ in played(Replay(chat_file(tmp_path, rows))) if kind == "rooms:started"]
    assert seen == ["ann-w0", "ann-w0.1", "ann-w1", "ann-w1.1"]


def test_a_viewer_enters_again_after_being_elsewhere_or_silent_for_half_an_hour(tmp_path: Path) -> None:
    said = ((0, "ann", "v"), (1, "ann", "v"), (2, "bob", "v"), (3, "ann", "v"), (20, "ann", "w"), (33, "ann", "v"))
    rows = "".join(f"{at * 60_000},{who},{viewer},x\n" for at, who, viewer in said)
    chat = chat_file(tmp_path, rows, "at_ms,channel,viewer,text\n")
    entered = [(viewer, at // 60_000) for kind, _, viewer, at in played(Replay(chat)) if kind == "viewer-events:enter"]
    assert entered == [("v", 0), ("v", 2), ("v", 3), ("w", 20), ("v", 33)]


def test_a_file_out_of_order_is_played_in_order(tmp_path: Path) -> None:
    ordered = "1000,0,ann,v1,a\n2000,0,ann,v2,b\n3000,0,ann,v3,c\n"
    shuffled = "3000,0,ann,v3,c\n1000,0,ann,v1,a\n2000,0,ann,v2,b\n"
    assert played(Replay(chat_file(tmp_path, shuffled))) == played(Replay(chat_file(tmp_path, ordered)))


def test_only_the_selected_rows_are_played_and_rooms_span_only_them(tmp_path: Path) -> None:
    chat = chat_file(tmp_path, "1000,0,ann,v,a\n2000,1,ann,v,b\n3000,1,ann,v,c\n4000,1,ann,v,d\n5000,1,ann,v,e\n")
    replay = Replay(chat, selection=Selection(window=1, from_ms=BASE_MS + 3000, until_ms=BASE_MS + 5000))
    assert replay.rows == 2
    assert [(kind, at) for kind, _, _, at in played(replay) if kind.startswith("rooms")] == [
        ("rooms:started", 3000),
        ("rooms:ended", 4000),
    ]
    assert Replay(chat, selection=Selection(limit=3)).rows == 3
    with pytest.raises(InputFileError, match="windows 0 to 1"):
        Replay(chat, selection=Selection(window=9))


def test_files_are_merged_in_time_order_and_nothing_is_derived_of_what_they_give(tmp_path: Path) -> None:
    chat = chat_file(tmp_path, "2000,r,v,hi\n", "at_ms,room,viewer,text\n")
    (tmp_path / "rooms.jsonl").write_text(
        f'{{"at_ms":{BASE_MS + 1000},"type":"started","room":"r","streamer":"s","title":"T",'
        '"tags":["a","b"],"mature":true}\n'
        f'{{"at_ms":{BASE_MS + 3000},"type":"ended","room":"r"}}\n'
    )
    (tmp_path / "visits.csv").write_text(
        "at_ms,viewer,room,streamer,action,seconds\n" + based("1500,v,r,s,enter,\n2500,v,r,s,watch,1.5\n")
    )
    rooms = Recording.open(tmp_path / "rooms.jsonl", "rooms")
    visits = Recording.open(tmp_path / "visits.csv", "viewer-events")
    replay = Replay(chat, rooms, visits)
    assert [(kind, at) for kind, _, _, at in played(replay)] == [
        ("rooms:started", 1000),
        ("viewer-events:enter", 1500),
        ("chat:chat", 2000),
        ("viewer-events:watch", 2500),
        ("rooms:ended", 3000),
    ]
    first, _, _, watch, _ = (event.record for event in replay.events(Timeline()))
    assert (first.title, first.tags, first.mature, first.streamer) == ("T", ["a", "b"], True, "s")
    assert watch.seconds == 1.5


def test_files_of_rooms_and_visits_may_hold_no_row(tmp_path: Path) -> None:
    chat = chat_file(tmp_path, "2000,r,v,hi\n", "at_ms,room,viewer,text\n")
    (tmp_path / "rooms.csv").write_text("at_ms,type,room,streamer\n")
    (tmp_path / "visits.csv").write_text("at_ms,viewer,room,streamer,action\n")
    rooms = Recording.open(tmp_path / "rooms.csv", "rooms")
    visits = Recording.open(tmp_path / "visits.csv", "viewer-events")
    assert [(kind, at) for kind, _, _, at in played(Replay(chat, rooms, visits))] == [("chat:chat", 2000)]


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("rooms", "1,paused,r,s", "row 1: type is 'paused'"),
        ("rooms", "1,started,r,", "row 1: streamer is (empty|0)"),
        ("viewer-events", "1,jump,r,s", "row 1: action is 'jump'"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_its_row(tmp_path: Path, kind: Any, row: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    columns = "at_ms,type,room,streamer" if kind == "rooms" else "at_ms,action,viewer,streamer,room"
    path.write_text(f"{columns}\n{based(row)}" + (",r\n" if kind == "viewer-events" else "\n"))
    recording = Recording.open(path, kind)
    replay = Replay(rooms=recording) if kind == "rooms" else Replay(viewer_events=recording)
    with pytest.raises(InputFileError, match=rf"bad\.csv: {message}"):
        list(replay.events(Timeline()))


def test_chat_by_channel_cannot_be_joined_with_recorded_rooms(tmp_path: Path) -> None:
    (tmp_path / "rooms.csv").write_text("at_ms,type,room,streamer\n" + based("1,started,r,s\n"))
    rooms = Recording.open(tmp_path / "rooms.csv", "rooms")
    with pytest.raises(InputFileError, match="no column room"):
        Replay(chat_file(tmp_path, "1,0,a,v,x\n"), rooms)


def test_titles_come_from_the_file_of_channels(tmp_path: Path) -> None:
    (tmp_path / "channels.csv").write_text("channel,title,category,language,source\nann,Hello,Chess,en,x\nbob,,,,\n")
    channels = read_channels(tmp_path / "channels.csv")
    replay = Replay(chat_file(tmp_path, "1,0,ann,v,x\n"), channels=channels)
    started = next(replay.events(Timeline())).record
    assert (started.title, started.category, started.language) == ("Hello", "Chess", "en")


def test_times_are_moved_sped_up_and_silences_shortened(tmp_path: Path) -> None:
    chat = chat_file(tmp_path, "0,0,a,v,x\n10000,0,a,v,x\n4010000,0,a,v,x\n4020000,0,a,v,x\n")
    replay = Replay(chat)
    times = [at - NOW_MS for kind, *_, at in played(replay, Timeline(NOW_MS, 10.0, 60.0)) if kind == "chat:chat"]
    assert times == [0, 1000, 1100, 2100]
    span = replay.span(10.0, 60.0)
    assert (span.lasts_ms, span.skipped_gaps, span.skipped_s) == (2100, 1, 3999.0)


class TimedSink:
    """Notes when each event was sent, and how many were flushed before."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.sent: list[int] = []
        self.flushed = 0

    def send(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        self.sent.append(self._clock.now_ms())

    def flush(self) -> None:
        self.flushed = len(self.sent)

    def commit(self, source: Any, positions: Any) -> None:
        raise NotImplementedError

    def begin_commit(self, source: Any, positions: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        self.flush()


def some_events(*at_ms: int) -> list[Event]:
    return [Event("chat", b"r", b"{}", at) for at in at_ms]


def test_events_are_sent_when_due_and_late_waits_do_not_add_up() -> None:
    clock = ManualClock(NOW_MS)
    sink = TimedSink(clock)

    def wait(seconds: float) -> bool:
        assert sink.flushed == len(sink.sent), "what was sent must not wait with us"
        clock.advance(int(seconds * 1000) + 7)  # every wait is 7 ms too long
        return False

    events = some_events(*range(0, 100_000, 1000))
    result = play(events, sink, Pace(clock, Timeline(), wait), threading.Event())
    assert result.events == 100
    late = [sent - NOW_MS - event.at_ms for sent, event in zip(sink.sent, events, strict=True)]
    assert all(-10 <= by <= 7 for by in late)


def test_as_fast_as_possible_never_waits() -> None:
    def wait(_seconds: float) -> bool:
        raise AssertionError

    sink = TimedSink(ManualClock(NOW_MS))
    result = play(some_events(0, 10**9), sink, Pace(ManualClock(NOW_MS), None, wait), threading.Event())
    assert (result.events, sink.flushed) == (2, 2)


def test_stopping_during_a_wait_ends_at_once_with_all_sent_flushed() -> None:
    clock, stop = ManualClock(NOW_MS), threading.Event()
    sink = TimedSink(clock)

    def wait(_seconds: float) -> bool:
        stop.set()
        return True

    result = play(some_events(0, 5, 60_000), sink, Pace(clock, Timeline(), wait), stop)
    assert (result.events, sink.flushed) == (2, 2)
