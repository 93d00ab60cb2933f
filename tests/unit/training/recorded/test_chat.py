"""Recorded files as arrays: order, exact times, ids that mean the same in every file."""

from __future__ import annotations

from pathlib import Path

from streaming.recorded.recording import Recording
from tests.unit.training.recorded.recorded_chat import Said, write
from training.recorded.chat import Windows, load

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
