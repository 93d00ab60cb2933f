"""Dumps of kafka-console-consumer have the records that they print, whatever is printed before the value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streaming.errors import InputFileError
from streaming.events import ChatMessage, RoomStarted, ViewerEvent
from streaming.log.memory_record import MemoryRecord
from streaming.log.misplaced_records import marked
from streaming.recorded.formats.console_consumer import COPIES, NO_RECORD, OTHER_TOPIC, TOMBSTONES, TRANSCRIPTS
from streaming.recorded.json_records import LogCheck
from streaming.recorded.recorded_rooms import Selection
from streaming.recorded.recording import Kind, Recording
from streaming.recorded.replay import Replay
from tests.unit.streaming.recorded.formats.rows import read, taken, write

T = 1_739_751_496_177
SAID = '{"type":"chat","room":"r-81","viewer":"w-4","text":"tab\\t and null","at_ms":1739751496177,"v":1}'
ROW = {"at_ms": T, "room": "r-81", "viewer": "w-4", "text": "tab\t and null"}
PRINTED = {
    "value": SAID,
    "key": f"r-81\t{SAID}",
    "timestamp and key": f"CreateTime:1739751496177\tr-81\t{SAID}",
    "append time": f"LogAppendTime:1739751496177\t{SAID}",
    "no timestamp": f"NO_TIMESTAMP\tr-81\t{SAID}",
    "all of it": f"CreateTime:-1\tPartition:0\tOffset:7\ttrace:{{a}},b:c\tr-81\t{SAID}",
    "no headers": f"CreateTime:1739751496177\tNO_HEADERS\tr-81\t{SAID}",
    "another separator": f"CreateTime:1739751496177|r-81|{SAID}",
    "kcat -K:": f"r-81:{SAID}",
    "windows": f"r-81\t{SAID}\r",
    "a key that is JSON": f'{{"id":"r-81"}}\t{SAID}',
    "a key that is JSON, another separator": f'{{"id":["r-81"]}}|{SAID}',
    "a key with braces": f"{{r-81}}\t{SAID}",
    "a header that is JSON": f'CreateTime:1739751496177\tmeta:{{"a":{{"b":1}}}},c:d\tr-81\t{SAID}',
    "a header that is JSON, another separator": f'meta:{{"a":1}} | r-81 | {SAID}',
    "the partition last": f"CreateTime:1739751496177\tr-81\t{SAID}\tPartition:3",
    "the partition last, alone": f"{SAID}\tPartition:3",
    "nested": SAID[:-1] + ',"badges":[{"a":{"b":[{}]}}]}',
}


@pytest.mark.parametrize("line", PRINTED.values(), ids=PRINTED)
@pytest.mark.parametrize("name", ["dump.txt", "dump.jsonl", "dump"])
def test_records_are_read_with_whatever_is_printed_before_them(tmp_path: Path, line: str, name: str) -> None:
    found = taken(write(tmp_path / name, f"{line}\n{line}\n"))
    assert (found.format_name, found.bad, found.remarks) == ("kafka-console-consumer", {}, {})
    assert [{key: row[key] for key in ROW} for row in found.rows] == [ROW, ROW]


def test_transcripts_are_left_out_and_counted(tmp_path: Path) -> None:
    spoken = f'{{"type":"speech","room":"r-81","text":"we open","at_ms":{T}}}'
    found = taken(write(tmp_path / "dump", f"{spoken}\n{spoken}\n{spoken}\n{SAID}\n"))
    assert (found.format_name, found.bad) == ("kafka-console-consumer", {})
    assert [{key: row[key] for key in ROW} for row in found.rows] == [ROW]
    assert found.remarks == {TRANSCRIPTS: 3}


def test_tombstones_and_the_consumers_own_words_are_left_out_and_counted(tmp_path: Path) -> None:
    start = '{"type":"started","room":"r-81","streamer":"ana","title":null,"tags":["a"],"at_ms":1739751496177}'
    lines = f"CreateTime:{T}\tr-81\t{start}\nCreateTime:{T}\tr-80\tnull\nProcessed a total of 2 messages\n"
    found = taken(write(tmp_path / "rooms.txt", lines), "rooms")
    assert found.rows == [{"at_ms": T, "room": "r-81", "type": "started", "streamer": "ana", "tags": ["a"]}]
    assert (found.bad, found.remarks) == ({}, {TOMBSTONES: 1, NO_RECORD: 1})


@pytest.mark.parametrize("null", ["null", "NULL", "<null>"])
def test_what_stands_for_null_may_be_set(tmp_path: Path, null: str) -> None:
    for before in ("", "r-80\t", f"CreateTime:{T}|r-80|"):
        found = taken(write(tmp_path / "chat.txt", f"{before}{null}\n{SAID}\n"), format_name="kafka-console-consumer")
        assert (len(found.rows), found.bad, found.remarks) == (1, {}, {TOMBSTONES: 1})


def test_what_java_prints_is_no_record(tmp_path: Path) -> None:
    printed = "Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nOpenJDK 64-Bit Server VM warning: x\n"
    found = taken(write(tmp_path / "chat.txt", f"{printed}{SAID}\n^CProcessed a total of 1 messages\n"))
    assert (len(found.rows), found.bad, found.remarks) == (1, {}, {NO_RECORD: 3})


def test_of_a_dump_of_several_topics_one_is_read(tmp_path: Path) -> None:
    event = {"type": "viewer", "viewer": "w", "room": "r", "streamer": "s", "action": "LIKE", "at_ms": T}
    start = {"type": "STARTED", "room": "r", "streamer": "s", "at_ms": T}
    path = write(tmp_path / "all.txt", f"{json.dumps(event)}\n{SAID}\n{json.dumps(start)}\n{SAID}\n")
    kinds: tuple[Kind, ...] = ("chat", "rooms", "viewer-events")
    for kind, count in zip(kinds, (2, 1, 1), strict=True):
        found = taken(path, kind)
        assert (len(found.rows), found.bad, found.remarks) == (count, {}, {OTHER_TOPIC: 4 - count})
        recording = Recording.open(path, kind)
        recording.check(LogCheck(kind, Selection()), skip_bad=False)
        replay = Replay(**{kind.replace("-", "_"): recording})
        assert [type(record) for _, topic, record in replay.records() if topic == kind] == [
            {"chat": ChatMessage, "rooms": RoomStarted, "viewer-events": ViewerEvent}[kind]
        ] * count


def test_a_record_that_was_forwarded_is_one(tmp_path: Path) -> None:
    record = MemoryRecord("chat", 2, 7, T, b"r-81", SAID.encode())
    path = write(tmp_path / "chat.txt", f"{SAID}\n{(marked(record) or b'').decode()}\n{SAID}\n")
    found = taken(path)
    assert (len(found.rows), found.remarks) == (2, {COPIES: 1})


def test_the_id_of_an_event_tells_what_was_sent_twice(tmp_path: Path) -> None:
    event = {"type": "viewer", "viewer": "w", "room": "r", "streamer": "s", "action": "gift", "at_ms": T}
    lines = [json.dumps({**event, **more}) + "\n" for more in ({"id": "g1"}, {"id": 2}, {"id": None}, {})]
    replay = Replay(None, None, Recording.open(write(tmp_path / "visits.txt", "".join(lines)), "viewer-events"))
    assert [record.id for _, _, record in replay.records() if isinstance(record, ViewerEvent)] == ["g1", "2", "", ""]
    table = [{**event, "id": "a table's own", "type": None}]
    path = write(tmp_path / "visits.jsonl", "".join(json.dumps(row) + "\n" for row in table))
    replay = Replay(None, None, Recording.open(path, "viewer-events"))
    assert [record.id for _, _, record in replay.records() if isinstance(record, ViewerEvent)] == [""]


def test_viewer_events_are_read(tmp_path: Path) -> None:
    event = {"type": "viewer", "viewer": "w", "room": "r", "streamer": "s", "action": "watch", "seconds": 3, "at_ms": T}
    rows = read(write(tmp_path / "visits.txt", f"w\t{json.dumps(event)}\n"), "viewer-events")
    assert (rows[0]["action"], rows[0]["seconds"]) == ("watch", 3.0)


def test_the_topic_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "chat.txt", f"r-81\t{SAID}\n")
    with pytest.raises(
        InputFileError, match=r"chat\.txt: kafka-console-consumer has printed no record of viewer-events"
    ):
        read(path, "viewer-events")
    latin = write(tmp_path / "chat.txt", f"r\t{SAID.replace('null', 'café')}\n".encode("latin-1"))
    with pytest.raises(InputFileError, match=r"chat\.txt: .* no record of chat there; row 1: is not UTF-8 \(byte 0xe9"):
        read(latin)


def test_lines_without_a_value_and_other_schema_versions_are_bad(tmp_path: Path) -> None:
    other = SAID.replace('"v":1', '"v":2')
    path = write(tmp_path / "chat.txt", f"r-81\t{SAID}\nr-81\t{other}\nr-81\tnot json\nr-81\t{SAID[:-9]}\n")
    with pytest.raises(InputFileError, match=r"row 3: holds no value that is JSON|row 2: has the schema version 2"):
        read(path)
    found = taken(path)
    assert (len(found.rows), found.bad) == (1, {2: "another schema version", 3: "no value", 4: "not JSON"})
