"""Recorded files as arrays: order, exact times, ids that mean the same in every file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from streaming.recorded.recording import Recording
from tests.unit.training.recorded.recorded_chat import Said, crowd, write
from training.recorded.chat import Windows, load, load_texts

BASE_S = 1_000_000_000
BASE_US = 1_000_000 * BASE_S


def test_both_parts_share_ids_and_run_in_time_order_to_the_microsecond(tmp_path: Path) -> None:
    past = write(tmp_path / "past.parquet", [Said(BASE_S + 2.000002, "a", "v"), Said(BASE_S + 1, "b", "w")])
    test = write(tmp_path / "test.parquet", [Said(BASE_S + 2.000003, "b", "v")])
    chat = load([Recording.open(past)], [Recording.open(test)], None, None)
    assert chat.at_us_M.tolist() == [BASE_US + 1_000_000, BASE_US + 2_000_002, BASE_US + 2_000_003]
    assert [chat.channels[channel] for channel in chat.channel_M] == ["b", "a", "b"]
    assert [chat.viewers[viewer] for viewer in chat.viewer_M] == ["w", "v", "v"]
    assert chat.num_train == 2


def test_windows_choose_rows_from_the_first_up_to_the_end(tmp_path: Path) -> None:
    file = write(tmp_path / "chat.parquet", [Said(BASE_S + i, "a", f"v{i}") for i in range(6)], [0, 0, 1, 2, 3, 3])
    chat = load([Recording.open(file)], [Recording.open(file)], Windows(0, 2), Windows(2, 3))
    assert (len(chat.at_us_M), chat.num_train) == (4, 3)


def test_text_and_milliseconds_are_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "past.csv").write_text("at,channel,viewer,text\n2023-11-14T22:13:21.000007Z,a,1,x\n")
    (tmp_path / "test.jsonl").write_text('{"at_ms": 1700000001500, "room": "a", "viewer": "1", "text": "x"}\n')
    chat = load([Recording.open(tmp_path / "past.csv")], [Recording.open(tmp_path / "test.jsonl")], None, None)
    assert chat.at_us_M.tolist() == [1_700_000_001_000_007, 1_700_000_001_500_000]
    assert (chat.channels, chat.viewers) == (("a",), ("1",))


def test_texts_are_read_in_the_order_of_the_messages(tmp_path: Path) -> None:
    said = crowd(4, 300)
    order = np.random.default_rng(0).permutation(300)
    early = write(tmp_path / "early.parquet", [said[i] for i in order], [i // 100 for i in range(300)])
    table = pa.parquet.read_table(early)
    named = pa.array([f"{row['channel']} {row['viewer']}" for row in table.to_pylist()])
    pa.parquet.write_table(table.set_column(table.schema.get_field_index("text"), "text", named), early)
    late = write(tmp_path / "late.parquet", [Said(2e9, "c1", "v1")])
    files = [Recording.open(early)], [Recording.open(late)]
    chat = load(*files, Windows(0, 2), None)
    text_M = load_texts(*files, Windows(0, 2), None)
    assert len(text_M) == len(chat.at_us_M) == 201
    for i in range(200):
        assert text_M[i].as_py() == f"{chat.channels[chat.channel_M[i]]} {chat.viewers[chat.viewer_M[i]]}"
