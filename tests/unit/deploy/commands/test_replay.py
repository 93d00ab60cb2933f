"""`tidecast replay`, `evaluate` and `train` have one line for a bad file, before anything else is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest

from deploy.cli import main
from deploy.commands import replay
from deploy.commands.replay import ReplaySource, check, open_files, replay_of
from deploy.terminal.recording_check import remarks
from deploy.train import run
from streaming.errors import InputFileError
from streaming.recorded.formats.known import FORMATS
from streaming.recorded.playback import Timeline

T = 1_739_751_496_177
GOOD = f"at_ms,channel,viewer,text\n{T},ana,1,x\n"
BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "a header that is not UTF-8": ("chat.csv", b"at,channel,viewer,text,se\xf1al\n", "is not UTF-8"),
    "a row that is not UTF-8": ("chat.csv", GOOD.encode() + b"1739751496178,ana,2,se\xf1al\n", "row 2: is not UTF-8"),
    "UTF-16": ("chat.csv", GOOD.encode("utf-16"), "is UTF-16; save it as UTF-8"),
    "nothing": ("chat.csv", b"", "the file is empty"),
    "a header alone": ("chat.csv", b"at_ms,channel,viewer,text\n", "no rows"),
    "a broken quote": ("chat.csv", GOOD.encode() + b'1739751496178,ana,2,"a" b\n', "row 2: a quote is not closed"),
    "a time of no kind": ("chat.csv", b"at,channel,viewer,text\nsoon,ana,1,x\n", "row 1: at: soon is not a time"),
    "1970": ("chat.csv", b"at_ms,channel,viewer,text\n59000,ana,1,x\n", "row 1: at_ms is 59000.* 1970"),
    "two units": ("chat.csv", GOOD.encode() + b"1739751496,ana,1,x\n", "row 2: at_ms is 1739751496, which is seconds"),
    "broken JSON": ("chat.jsonl", b'{"at_ms": 1, "viewer"', "row 1: is not JSON"),
    "no known format": ("chat.txt", b"Dear Sir,\n", "tried: Parquet, .*--format"),
    "a packed file that is cut": ("chat.csv.gz", b"\x1f\x8b\x08\0\0\0\0\0", "packed with gzip, but cut or damaged"),
    "a damaged Parquet file": ("chat.parquet", b"PAR1 and no more", "cannot be read as Parquet"),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("command", ["replay", "evaluate", "train"])
def test_a_bad_file_is_one_line_and_no_traceback(
    tmp_path: Path, name: str, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "connected_ray", None)  # nothing is started for a file that is bad
    monkeypatch.setattr(run, "give_way", lambda niceness: None)
    file, content, message = BAD_FILES[name]
    path = tmp_path / file
    path.write_bytes(content)
    arguments = {
        "replay": ["replay", str(path), "--fast"],
        "evaluate": ["evaluate", "--train", str(path), "--test", str(path)],
        "train": ["train", str(path), "--out", str(tmp_path / "version")],
    }[command]
    if command == "evaluate" and name == "a header alone":
        message = "no messages in the files"
    if command == "evaluate" and name == "a row that is not UTF-8":  # its text, which nobody reads there
        message = "the test begins at"
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("tidecast: ")
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(said[0])


def asked(monkeypatch: pytest.MonkeyPatch, *words: str) -> ReplaySource:
    """What a command line asks to be played; nothing is."""
    heard: list[ReplaySource] = []

    def stop(source: ReplaySource) -> NoReturn:
        heard.append(source)
        raise InputFileError("enough")

    with monkeypatch.context() as patch:
        patch.setattr(replay, "open_files", stop)
        assert main(["replay", *words]) == 2
    return heard[0]


def test_bad_rows_are_left_out_when_asked_and_said_by_sort(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chat.jsonl"
    row = {"at_ms": T, "channel": "ana", "viewer": 1, "text": "x"}
    rows = [row, {**row, "viewer": None}, {**row, "at_ms": None}, {**row, "viewer": ""}, {**row, "viewer": "guest7"}]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows) + "not json\n")
    source = asked(monkeypatch, str(path), "--skip-bad")
    capsys.readouterr()
    files = open_files(source)
    check(source, files)
    assert [line for line in capsys.readouterr().err.splitlines() if line] == [
        f"tidecast: {path}: left out 2 bad: no viewer; the first is row 2: viewer is empty; every row needs one",
        f"tidecast: {path}: left out 1 bad: no time; the first is row 3: at_ms is empty; every row needs a time",
        f"tidecast: {path}: left out 1 bad: not JSON; the first is row 6: "
        "is not JSON (Expecting value: line 1 column 1 (char 0)): 'not json'",
    ]
    played = [event for event in replay_of(source, files).events(Timeline()) if event.topic == "chat"]
    assert [event.record.viewer for event in played] == ["1", "guest7"]


def test_what_is_no_row_is_remarked_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "show-2025-02-16.log"
    path.write_text("# Start logging at 2025-02-16 23:59:50 CET\n[23:59:58]  ana: hi\n[23:59:59] ana is live!\n")
    source = asked(monkeypatch, str(path))
    files = open_files(source)
    check(source, files)
    assert remarks(files.opened[0]) == ["left out: lines that are no messages: 1"]


def test_format_channel_and_zone_are_taken_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "show-2025-02-16.log"
    path.write_text("# Start logging at 2025-02-16 23:59:50 CST\n[23:59:58]  ana: hi\n")
    options = ("--format", "chatterino", "--channel", "other", "--time-zone", "America/Chicago")
    source = asked(monkeypatch, str(path), *options)
    played = replay_of(source, open_files(source))
    started = next(iter(played.events(Timeline()))).record
    assert (started.streamer, started.at_ms) == ("other", 1_739_771_998_000)


def test_options_that_cannot_be_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "chat.csv"
    path.write_text(GOOD)
    assert main(["replay", str(path), "--format", "justlogs"]) == 2
    assert (
        f"no format 'justlogs'; the formats are {', '.join(known.name for known in FORMATS)}" in capsys.readouterr().err
    )
    assert main(["replay", str(path), "--time-zone", "Berlin"]) == 2
    assert "'Berlin' is not a time zone such as Europe/Berlin" in capsys.readouterr().err


def test_the_help_names_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--help"]) == 0
    said = capsys.readouterr().out
    assert [known.name for known in FORMATS if known.name not in said] == []


def test_train_says_that_two_rows_are_too_few_before_a_model_or_ray_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deploy.ray.local_ray.LocalRay.start", None)
    monkeypatch.setattr("training.content.text_encoder.TextEncoder", None)
    monkeypatch.setattr(run, "give_way", lambda niceness: None)  # for good, as it does: the process is ours
    path = tmp_path / "two.csv"
    rows = ["2025-02-17T00:00:00Z,a,v1,hi", "2025-02-17T00:00:05Z,b,v2,ho"]
    path.write_text("\n".join(["at,channel,viewer,text", *rows]))
    assert main(["train", str(path), "--out", str(tmp_path / "version")]) == 2
    assert "2 visits to learn from; at least 50 are needed" in capsys.readouterr().err
