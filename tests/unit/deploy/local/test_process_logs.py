"""Tests of deploy.local.process_logs and of `tidecast logs`, on folders laid out as Ray does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy import cli
from deploy.local.process_logs import chosen, end_of, grown, kept_logs, logs_in

ID = "01923e3e15523e614ff822080d65b7b5b59efae241fb96650360fd62"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    logs = tmp_path / ".tidecast" / "logs" / "2026-01-31T12-00-00"
    (logs / "serve").mkdir(parents=True)
    (logs / f"worker-{ID}-01000000-14113.err").write_text(
        ":job_id:01000000\n:actor_name:ServeReplica:tidecast:RoomWorker\nfirst\nsecond \x1b]0;x\x07\n"
    )
    (logs / f"worker-{ID}-01000000-14200.out").write_text(":job_id:01000000\n:actor_name:ServeController\nof ray\n")
    (logs / f"worker-{ID}-01000000-14300.err").write_text("")
    (logs / "raylet.out").write_text("raylet says\n")
    (logs / "haproxy.admin.1.stderr.log").write_text("haproxy says\n")
    (logs / f"python-core-worker-{ID}_1.log").write_text("noise\n")
    (logs / "serve" / "replica_tidecast_Recommender_1xqc4u5d.log").write_text("an answer failed\n")
    return logs


def test_every_log_is_named_after_its_process(folder: Path) -> None:
    names = [(log.process, log.pid, log.of_ray) for log in logs_in(folder)]
    assert names[:2] == [("recommender", "", False), ("room-worker", "14113", False)]
    assert {name for name, _, of_ray in names if of_ray} == {"ServeController", "haproxy", "raylet", "worker"}


def test_logs_are_chosen_by_process_or_pid(folder: Path) -> None:
    logs = logs_in(folder)
    assert [log.process for log in chosen(logs, ["14113"], everything=False)] == ["room-worker"]
    assert [log.process for log in chosen(logs, ["raylet"], everything=False)] == ["raylet"]
    assert len(chosen(logs, [], everything=True)) == len(logs)


def test_end_of_a_log_leaves_out_rays_markers(folder: Path) -> None:
    (log,) = chosen(logs_in(folder), ["room-worker"], everything=False)
    assert end_of(log.path, 10)[0] == "first"
    assert len(end_of(log.path, 1)) == 1
    assert end_of(log.path, 0) == []


def test_what_is_written_later_comes_in_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.err"
    path.write_text("old\n")
    sizes = {path: path.stat().st_size}
    with path.open("a") as file:
        file.write("one\ntw")
    assert [line for _, line in grown([path], sizes)] == ["one"]
    with path.open("a") as file:
        file.write("o\n")
    assert [line for _, line in grown([path], sizes)] == ["two"]
    path.write_text("anew\n")
    assert [line for _, line in grown([path, tmp_path / "gone.err"], sizes)] == ["anew"]


def test_newest_kept_logs_come_first(tmp_path: Path) -> None:
    for name in ("2026-01-01T00-00-00", "2026-02-01T00-00-00"):
        (tmp_path / "logs" / name).mkdir(parents=True)
    assert list(kept_logs([tmp_path / "logs", tmp_path / "none"])) == ["2026-02-01T00-00-00", "2026-01-01T00-00-00"]


def test_command_shows_what_the_last_system_left(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["logs"]) == 0
    said = capsys.readouterr()
    assert "no system runs" in said.err
    assert "an answer failed" in said.out
    assert "raylet says" not in said.out
    assert "\x1b" not in said.out
    assert cli.main(["logs", "room-worker", "-n", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["line"].startswith("second")
    assert cli.main(["logs", "--kept"]) == 0
    assert "2026-01-31T12-00-00" in capsys.readouterr().out
    assert cli.main(["logs", "nobody"]) == 1
    assert "there are ServeController" in capsys.readouterr().err


def test_command_says_that_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["logs"]) == 1
    assert "nothing runs" in capsys.readouterr().err
    assert cli.main(["logs", "--kept"]) == 1
