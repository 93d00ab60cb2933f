"""Tests that hold recorded files to their columns: what is read of each format, and how a bad file is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from streaming.errors import InputFileError
from streaming.recorded.recording import Kind, Recording

ROWS = [(1_739_751_496_177, "ann", "7", 'he said "no",\nthen left'), (1_739_751_497_000, "bob", "8", "草 😂")]


def write(folder: Path, ending: str) -> Path:
    path = folder / f"chat{ending}"
    at, channel, viewer, text = zip(*ROWS, strict=True)
    if ending == ".parquet":
        columns = {
            "at": pa.array(at, pa.timestamp("ms")),
            "channel": pa.array(channel).dictionary_encode(),
            "viewer": pa.array(map(int, viewer), pa.int32()),
            "text": text,
        }
        pa.parquet.write_table(pa.table(columns), path)
    elif ending == ".csv":
        quoted = text[0].replace('"', '""')
        path.write_text(
            f'at,channel,viewer,text\n2025-02-17T00:18:16.177Z,ann,7,"{quoted}"\n2025-02-17 00:18:17,bob,8,{text[1]}\n'
        )
    else:
        path.write_text(
            '{"at_ms": 1739751496177, "channel": "ann", "viewer": 7, "text": "he said \\"no\\",\\nthen left"}\n'
            '{"at_ms": 1739751497000, "channel": "bob", "viewer": 8, "text": "草 😂", "more": {"x": 1}}\n'
        )
    return path


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_every_format_reads_to_the_same_rows(tmp_path: Path, ending: str) -> None:
    recording = Recording.open(write(tmp_path, ending))
    rows = []
    for batch in recording.batches(("channel", "viewer", "text")):
        columns = [batch["at_ms"].tolist(), *(batch[name].to_pylist() for name in ("channel", "viewer", "text"))]
        rows += list(zip(*columns, strict=True))
    assert rows == ROWS


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_rows_come_in_the_order_asked_for(tmp_path: Path, ending: str) -> None:
    recording = Recording.open(write(tmp_path, ending))
    batches = list(recording.batches(("viewer",), np.array([1, 0])))
    assert [viewer for batch in batches for viewer in batch["viewer"].to_pylist()] == ["8", "7"]


def test_times_with_an_offset_are_utc(tmp_path: Path) -> None:
    path = tmp_path / "chat.csv"
    path.write_text("at,channel,viewer,text\n2025-02-17T01:18:16+01:00,a,1,x\n")
    assert next(Recording.open(path).batches())["at_ms"].tolist() == [1_739_751_496_000]


BAD: list[tuple[Kind, str, str]] = [
    ("chat", "at,channel,viewer\n2025-02-17,a,1\n", "no column text"),
    ("chat", "channel,viewer,text\na,1,x\n", r"no column at \(a timestamp\) or at_ms"),
    ("chat", "at,viewer,text\n2025-02-17,1,x\n", "no column channel or room"),
    ("rooms", "at,room\n2025-02-17,r\n", "no column type"),
    ("viewer-events", "at,room,viewer,action\n2025-02-17,r,v,enter\n", "no column streamer"),
    ("chat", "at,channel,viewer,text\nyesterday,a,1,x\n", "row 1: at: yesterday is not a time; write it as ISO 8601"),
    ("chat", "at_ms,channel,viewer,text\nsoon,a,1,x\n", "row 1: column at_ms holds soon, expected milliseconds"),
    (
        "chat",
        "at_ms,channel,viewer,text\n1739751496177,a,1,x\n1739751496178,,1,x\n",
        "row 2: channel is 0 characters long",
    ),
    ("chat", f"at_ms,channel,viewer,text\n1739751496177,a,{'v' * 129},x\n", "row 1: viewer is 129 characters long"),
    ("chat", "at_ms,channel,viewer,text\n5,a,1\n", "cannot be read as CSV"),
    ("chat", "", "the file is empty"),
]


@pytest.mark.parametrize(("kind", "text", "message"), BAD)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, kind: Kind, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputFileError, match=rf"bad\.csv: .*{message}"):
        list(Recording.open(path, kind).batches(("channel", "viewer", "text")))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("chat.txt", b"x", "tried: Parquet, .*JSON lines.*--format"),
        ("none.parquet", None, "cannot be read: No such file"),
        ("chat.parquet", b"not parquet", "cannot be read as Parquet"),
        ("chat.jsonl", b'{"at_ms": 1, "viewer"', "cannot be read as JSON lines"),
    ],
)
def test_a_file_of_no_known_format_is_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputFileError, match=message):
        list(Recording.open(tmp_path / name).batches())
