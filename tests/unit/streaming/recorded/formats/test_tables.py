"""CSV, JSON lines and Parquet have their rows: what nobody asks for is ignored, what is broken is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from streaming.errors import InputFileError
from streaming.recorded.recording import Recording
from tests.unit.streaming.recorded.formats.rows import read, said, taken, write

T = 1_739_751_496_177
AT = "2025-02-17T00:18:16.177Z"


def lines(*rows: dict[str, object]) -> str:
    return "".join(json.dumps({"at_ms": T + at, "channel": "ana", "viewer": "1", "text": "x", **row}) + "\n"
                   for at, row in enumerate(rows))  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [({}, []), (0, "#fff"), (None, "abc"), ("2025-02-17", "soon"), (1, 2**70), ([1], [{"a": None}]), (True, 1.5)],
    ids=str,
)
def test_a_column_that_nobody_asks_for_may_hold_anything_in_any_row(
    tmp_path: Path, values: tuple[object, object]
) -> None:
    path = write(tmp_path / "chat.jsonl", lines(*({"badges": value} for value in values)))
    assert [row["at_ms"] for row in read(path)] == [T, T + 1]


def test_columns_may_first_appear_far_down(tmp_path: Path) -> None:
    row = {"at_ms": T, "viewer": "v", "room": "r", "streamer": "s", "action": "enter", "filler": "x" * 150}
    late = {**row, "action": "watch", "seconds": 12.5, "reply_to": "abc"}
    path = write(tmp_path / "visits.jsonl", (json.dumps(row) + "\n") * 36_000 + json.dumps(late) + "\n")
    rows = read(path, "viewer-events")
    assert (len(rows), rows[-1]["seconds"], "seconds" in rows[0]) == (36_001, 12.5, False)


def test_a_window_that_only_some_rows_have_is_refused(tmp_path: Path) -> None:
    text = lines(*[{"text": "x" * 200}] * 25_000) + lines({"window": 3})
    recording = Recording.open(write(tmp_path / "chat.jsonl", text))
    with pytest.raises(InputFileError, match="row 25001 is the first with a window; all need one"):
        recording.check(None, skip_bad=False)


def test_columns_that_are_null_in_every_row_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    table = {
        "at_ms": [T],
        "channel": ["ana"],
        "room": pa.array([None], pa.string()),
        "window": pa.array([None], pa.int32()),
    }
    path = tmp_path / "chat.parquet"
    pa.parquet.write_table(pa.table({**table, "viewer": ["1"], "text": ["x"]}), path)
    assert Recording.open(path).columns == {"at_ms", "channel", "viewer", "text"}
    assert Recording.open(write(tmp_path / "chat.jsonl", lines({"window": None, "room": None}))).columns == {
        "at_ms", "channel", "viewer", "text",
    }  # fmt: skip


def test_texts_that_are_null_in_every_row_are_empty(tmp_path: Path) -> None:
    table = {"at_ms": [T], "channel": ["ana"], "viewer": ["1"], "text": pa.array([None], pa.string())}
    pa.parquet.write_table(pa.table(table), tmp_path / "chat.parquet")
    for path in (tmp_path / "chat.parquet", write(tmp_path / "chat.jsonl", lines({"text": None}))):
        assert said(path) == [(T, "ana", "1", "")]


def test_a_text_that_is_longer_than_a_reader_of_csv_takes_loses_no_other_row(tmp_path: Path) -> None:
    rows = f'{AT},ana,1,"{"x" * 200_000}\n' + f"{AT},ana,2,y\n" * 20_000
    assert len(read(write(tmp_path / "chat.csv", CSV + rows))) == 20_001


def test_texts_that_are_null_or_missing_are_empty_and_dates_in_texts_stay_text(tmp_path: Path) -> None:
    rows = [{"text": None}, {"text": "2025-02-17"}, {"text": "cut \ud83d"}, {"text": "x"}]
    text = lines(*rows).replace(', "text": "x"', "")
    assert [row["text"] for row in read(write(tmp_path / "chat.jsonl", text))] == ["", "2025-02-17", "cut \ufffd", ""]
    table = {"at": [AT], "channel": ["a"], "viewer": [1.0], "text": pa.array([None], pa.string())}
    pa.parquet.write_table(pa.table({**table, "more": [b"\xff"]}), tmp_path / "chat.parquet")
    recording = read(write(tmp_path / "one.csv", f"at,channel,viewer,text\n{AT},a,1.0,\n"))
    assert recording == [{"at_ms": T, "channel": "a", "viewer": "1", "text": ""}]
    assert "text" not in Recording.open(write(tmp_path / "two.jsonl", lines({"text": "y"}))).bad


def test_what_python_and_javascript_let_through_as_json_is_read(tmp_path: Path) -> None:
    text = f'{{"at_ms": {T}.0, "channel": "ana", "viewer": 12345678901234567890123, "text": "x", "score": NaN}}\r\n'
    assert said(write(tmp_path / "chat.ndjson", text)) == [(T, "ana", "12345678901234567890123", "x")]


def test_an_array_of_objects_is_read_as_lines_are(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in lines({}, {"text": "a\nb"}, {"text": "cut \ud83d"}).splitlines()]
    for text in (json.dumps(rows), json.dumps(rows, indent=2), json.dumps(rows[:2], ensure_ascii=False)):
        found = said(write(tmp_path / "chat.json", text))
        assert found[:2] == [(T, "ana", "1", "x"), (T + 1, "ana", "1", "a\nb")]


def test_broken_lines_of_json_are_named_and_can_be_left_out(tmp_path: Path) -> None:
    good = lines({})
    text = good.encode() + b'not json\n[1]\n\n{"text": "se\xf1al"}\n' + good.encode() + good.encode()[:30]
    path = write(tmp_path / "chat.jsonl", text)
    with pytest.raises(InputFileError, match=r"chat\.jsonl: row 2: is not JSON .*'not json'"):
        read(path)
    found = taken(path)
    assert len(found.rows) == 2
    assert found.bad == {2: "not JSON", 3: "not a JSON object", 5: "not UTF-8", 7: "not JSON"}


def test_an_array_that_is_cut_gives_what_is_whole(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in lines({}, {"text": "y"}, {"text": "z"}).splitlines()]
    whole = json.dumps(rows)
    for cut in range(1, len(whole)):
        path = write(tmp_path / "chat.json", whole[:cut])
        with pytest.raises(InputFileError, match=r"is not JSON|is cut"):
            read(path)
    assert [row["text"] for row in taken(write(tmp_path / "chat.json", whole[:-1])).rows] == ["x", "y", "z"]


CSV = "at,channel,viewer,text\n"


@pytest.mark.parametrize(
    "at",
    [
        AT,
        "2025/2/17 0:18",
        "2025-2-17 12:18 AM",
        "17 Feb 2025 00:18",
        "2025-02-17",
        "1739751496177",
        "1.739751496177E+12",
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_quote_that_is_not_closed_takes_no_other_row_with_it(tmp_path: Path, at: str, delimiter: str) -> None:
    header = CSV.replace("at", "at" if ":" in at or "-" in at else "at_ms", 1)
    rows = f'{at},ana,1,"lol\n{at},ana,2,hi\n{at},bob,3,"ok"\n{at},bob,4,end\n'
    found = taken(write(tmp_path / "chat.csv", (header + rows).replace(",", delimiter)))
    assert [(row["viewer"], row["text"]) for row in found.rows] == [
        ("1", '"lol'),
        ("2", "hi"),
        ("3", "ok"),
        ("4", "end"),
    ]
    assert found.remarks == {"read as they stand: rows with a quote that is not closed": 1}


@pytest.mark.parametrize(
    ("rows", "row"),
    [
        (f'{AT},ana,1,"a \\"b\\" c"\n', 1),
        (f'{AT},ana,1,ok\n{AT},ana,2,"a" b "c"\n', 2),
        (f'{AT},ana,1,ok\n{AT},"ana,2,"lol\n', 2),
        (f'{AT},ana,1,ok\n{AT},ana,2,"lol\nand more\n', 2),
    ],
)
def test_quotes_at_odds_are_refused_with_the_row(tmp_path: Path, rows: str, row: int) -> None:
    path = write(tmp_path / "chat.csv", CSV + rows + f"{AT},bob,9,end\n")
    with pytest.raises(InputFileError, match=rf"chat\.csv: row {row}: a quote is not closed"):
        read(path)
    found = taken(path)
    assert row in found.bad
    assert found.rows[-1]["text"] == "end"


def test_texts_of_several_lines_and_doubled_quotes_are_texts(tmp_path: Path) -> None:
    rows = f'{AT},ana,1,"one\ntwo, ""three"""\n{AT},ana,2,5" disk\r\n\n  \n{AT},ana,3,""\n'
    assert [text for *_, text in said(write(tmp_path / "chat.csv", CSV + rows))] == ['one\ntwo, "three"', '5" disk', ""]


def test_rows_with_another_number_of_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "chat.csv", CSV + f"{AT},ana,1,x\n{AT},ana,1\n{AT},ana,1,x,y\n{AT},ana,2,x\n")
    with pytest.raises(InputFileError, match="row 2: has 3 columns, expected 4"):
        read(path)
    found = taken(path)
    assert ([row["viewer"] for row in found.rows], list(found.bad)) == (["1", "2"], [2, 3])


def test_what_is_odd_far_down_is_named_with_its_row(tmp_path: Path) -> None:
    plain = f"{AT},ana,1,{'x' * 200}\n" * 40_000  # more than two reads
    path = write(tmp_path / "chat.csv", CSV + plain + f"{AT},ana,1\n" + plain)
    with pytest.raises(InputFileError, match="row 40001: has 3 columns"):
        read(path)
    assert len(taken(path).rows) == 80_000


@pytest.mark.parametrize(
    "text",
    [
        f"sep=;\r\nat;channel;viewer;text\r\n{AT.replace('.', ',')};ana;1;x,y\r\n",
        f"at\tchannel\tviewer\ttext\n{AT}\tana\t1\tx,y\n",
        f'"at","channel","viewer","text"\n"{AT}","ana","1","x,y"\n',
        f'\ufeffat,channel,viewer,text,text,\n{AT},ana,1,"x,y",z,\n'.replace("text,text", "text,more"),
    ],
)
def test_spreadsheets_delimiters_quotes_and_marks_are_read(tmp_path: Path, text: str) -> None:
    assert said(write(tmp_path / "chat.csv", text)) == [(T, "ana", "1", "x,y")]


def test_a_file_that_is_not_utf8_is_said_in_one_line(tmp_path: Path) -> None:
    header = write(tmp_path / "header.csv", b"at,channel,viewer,text,se\xf1al\n")
    with pytest.raises(InputFileError, match=r"header\.csv: is not UTF-8: its first line has the byte 0xf1"):
        read(header)
    rows = f"{AT},ana,1,x\n{AT},ana,2,se\xf1al\n{AT},ana,3,x\n".encode("latin-1")
    path = write(tmp_path / "row.csv", CSV.encode() + rows)
    with pytest.raises(InputFileError, match=r"row\.csv: row 2: is not UTF-8 \(byte 0xf1\)"):
        read(path)
    assert [row["viewer"] for row in taken(path).rows] == ["1", "3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((CSV + f"{AT},ana,1,x\n").encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ((CSV + f"{AT},ana,1,x\n").encode("utf-16-le"), "if it is UTF-16, save it as UTF-8"),
        ((CSV + f"{AT},ana,1,x\n").encode("utf-32"), "is UTF-32; save it as UTF-8"),
        (b"PK\x03\x04xlsx", "ZIP archive .*save it as CSV"),
        (b"\x28\xb5\x2f\xfdxx", "packed with zstd; unpack it first"),
        (b"", "the file is empty"),
        (b"\n\n", "first line, which names the columns, is empty"),
        (gzip.compress(b"at,channel\n" * 500, mtime=0)[:-9], "packed with gzip, but cut or damaged"),
    ],
)
def test_what_is_no_text_in_utf8_is_called_by_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputFileError, match=message):
        read(write(tmp_path / "chat.csv", content))


def test_a_file_may_be_packed_with_gzip_and_have_no_rows(tmp_path: Path) -> None:
    packed = gzip.compress((CSV + f"{AT},ana,1,x\n").encode())
    assert said(write(tmp_path / "chat.csv.gz", packed)) == [(T, "ana", "1", "x")]
    assert said(write(tmp_path / "empty.csv", CSV)) == []


def test_a_column_of_nothing_but_null_is_not_there_beside_nested_ones_either(tmp_path: Path) -> None:
    table = {
        "badges": [{"a": 1, "b": [2]}],
        "at_ms": [T],
        "room": pa.array([None], pa.string()),
        "channel": ["ana"],
        "viewer": ["1"],
        "text": ["x"],
    }
    path = tmp_path / "chat.parquet"
    pa.parquet.write_table(pa.table(table), path)
    assert "room" not in Recording.open(path).columns
    assert said(path) == [(T, "ana", "1", "x")]


def test_a_column_that_is_there_twice_is_an_error_of_the_file(tmp_path: Path) -> None:
    names = ["at_ms", "channel", "viewer", "text", "text"]
    path = tmp_path / "chat.parquet"
    pa.parquet.write_table(pa.Table.from_arrays([pa.array([T]), *[pa.array(["x"])] * 4], names=names), path)
    with pytest.raises(InputFileError, match=r"chat\.parquet: it has the column text twice"):
        read(path)


def test_null_as_databases_export_it_is_as_not_given_and_a_text_in_quotes_is_one(tmp_path: Path) -> None:
    text = f'at,channel,viewer,text\n{AT},ana,1,\\N\n{AT},ana,1,"\\N"\n{AT},ana,\\N,x\n'
    path = write(tmp_path / "chat.csv", text)
    with pytest.raises(InputFileError, match="row 3: viewer is empty"):
        read(path)
    assert [row["text"] for row in taken(path).rows] == ["", r"\N"]
    broken = write(tmp_path / "chat.csv", text + f'{AT},ana,2,5" pipe\n{AT},ana,2,"x" y\n')
    assert taken(broken).bad == {3: "no viewer", 5: "a quote is not closed"}


def test_a_mark_may_have_been_written_twice(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    assert said(write(tmp_path / "chat.csv", mark * 2 + f"at,channel,viewer,text\n{AT},ana,1,x\n".encode()))
    assert said(write(tmp_path / "chat.jsonl", mark * 2 + lines({}).encode()))


def test_rooms_that_end_need_no_streamer(tmp_path: Path) -> None:
    rows = f"{AT},started,r-81,ana,Ranked\n{AT},ended,r-81,,\n"
    found = read(write(tmp_path / "rooms.csv", "at,type,room,streamer,title\n" + rows), "rooms")
    assert [(row["type"], row.get("streamer")) for row in found] == [("started", "ana"), ("ended", None)]


def test_a_damaged_parquet_file_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "chat.parquet"
    table = pa.table({"at_ms": [T] * 5000, "channel": ["a"] * 5000, "viewer": [str(i) for i in range(5000)]})
    pa.parquet.write_table(table.append_column("text", pa.array(["x"] * 5000)), path)
    whole = path.read_bytes()
    for cut in (3, 100, len(whole) // 2, len(whole) - 4):
        with pytest.raises(InputFileError, match="cannot be read as Parquet"):
            read(write(tmp_path / "cut.parquet", whole[:cut]))
