"""Tests of what `tidecast archive` says and does, without a Kafka."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy import cli
from streaming.archive.config import ArchiveConfig
from streaming.log.topics import CHAT, HOUR_MS
from tests.unit.streaming.archive.world import START_MS, World, fill


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(str(tmp_path / "archive"))
    fill(world, 3)
    return world


def tidecast(*words: str) -> int:
    return cli.main(["archive", *words])


def test_ls_says_what_each_topic_holds(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert tidecast("ls", "--uri", world.store.uri, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row.pop("bytes") > 0
    assert row == {
        **{"topic": "chat", "partitions": 2, "files": 24, "records": 60},
        **{"from_hour": "2024-10-04T00", "to_hour": "2024-10-04T02"},
    }
    assert tidecast("ls", "--uri", world.store.uri) == 0
    drawn = capsys.readouterr().out.splitlines()[1].split()
    assert drawn[:-1] == ["chat", "2", "2024-10-04T00", "2024-10-04T02", "24", "60"]


def test_ls_of_a_topic_has_a_row_an_hour_and_a_sum(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert tidecast("ls", "chat", "--uri", world.store.uri) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[4:6] for line in lines[1:4]] == [["8", "20"]] * 3
    assert lines[4].split()[:3] == ["all", "24", "60"]


def test_an_archive_with_nothing_in_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tidecast("ls", "--uri", str(tmp_path / "nowhere")) == 1
    assert "holds nothing; `tidecast archive run` fills it" in capsys.readouterr().out
    assert tidecast("compact", "--uri", str(tmp_path / "nowhere")) == 0
    assert capsys.readouterr().out == "nothing to do\n"


def test_skipped_files_are_named(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "archive" / "notes.txt").write_text("mine")
    assert tidecast("ls", "--uri", world.store.uri, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["skipped"] == {"notes.txt": "notes.txt: not a name that the archive gives"}


def test_compact_merges_and_prune_deletes_after_it_was_tried_dry(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tidecast("compact", "--uri", world.store.uri) == 0
    assert capsys.readouterr().out.count("merged from 4 files: topic=chat/hour=2024-10-04T0") == 6
    assert tidecast("prune", "--uri", world.store.uri, "--dry-run") == 0
    assert capsys.readouterr().out.count("would be deleted: topic=chat/") == 4
    assert len(world.archive().files()) == 6
    assert tidecast("prune", "--uri", world.store.uri, "--keep-hours", "0") == 0
    assert capsys.readouterr().out == "archive.keep_hours is 0: everything is kept\n"
    assert tidecast("prune", "--uri", world.store.uri, "--json") == 0
    assert [one["action"] for one in json.loads(capsys.readouterr().out)["done"]] == ["deleted"] * 4
    assert [file.from_ms for file in world.archive().files()] == [START_MS + 2 * HOUR_MS] * 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ls"], "no archive: set archive.uri"),
        (["ls", "chatt", "--uri", "x"], "no topic 'chatt'; the topics are rooms, chat"),
        (["prune", CHAT, "--uri", "x"], "tidecast archive prune takes no TOPIC"),
        (["compact", "--dry-run", "--uri", "x"], "--dry-run is for prune"),
        (["ls", "--uri", "s4://x/y"], "'s4://x/y', which cannot be opened"),
        (["prune", "--keep-hours", "-1", "--uri", "x"], "archive.keep_hours is -1"),
    ],
)
def test_wrong_usage_is_one_line(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tidecast(*words) == 2
    assert says in capsys.readouterr().err


def test_a_relative_archive_lies_below_the_folder_of_the_command() -> None:
    assert ArchiveConfig(uri="a/b").below(Path("/x")).uri == "/x/a/b"
    assert ArchiveConfig(uri="/a").below(Path("/x")).uri == "/a"
    assert ArchiveConfig(uri="s3://a/b").below(Path("/x")).uri == "s3://a/b"
    assert ArchiveConfig().below(Path("/x")).uri == ""
