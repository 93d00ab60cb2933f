"""Folders that hold chat are for their owner alone, also where they are there already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.machine.private_folder import make_private


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Permissions as loose as can be."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


def test_what_is_made_is_private_and_so_are_the_parents_that_were_missing(tmp_path: Path) -> None:
    make_private(tmp_path / "state" / "kafka")
    assert mode(tmp_path / "state") == mode(tmp_path / "state" / "kafka") == 0o700


def test_what_is_there_with_looser_bits_is_closed_with_the_state_folder_that_it_lies_in(tmp_path: Path) -> None:
    folder = tmp_path / ".tidecast" / "demo" / "kafka"
    folder.mkdir(parents=True)
    make_private(folder)
    assert mode(folder) == mode(tmp_path / ".tidecast") == 0o700
    assert mode(tmp_path / ".tidecast" / "demo") == 0o777  # inside; nobody gets there


def test_the_owner_keeps_what_the_owner_has(tmp_path: Path) -> None:
    folder = tmp_path / "kafka"
    folder.mkdir(mode=0o570)
    make_private(folder)
    assert mode(folder) == 0o500


def test_shared_folders_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, here = tmp_path / "tmp", tmp_path / "here"
    for folder in (shared, here):
        folder.mkdir(mode=0o777)
    shared.chmod(0o1777)
    monkeypatch.chdir(here)
    make_private(shared)
    make_private(here)
    assert mode(shared) == mode(here) == 0o777


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o755)
    os.chown(folder, 65_534, 65_534)
    make_private(folder)
    assert mode(folder) == 0o755


def test_a_relative_folder_is_made_below_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_private(Path(".tidecast"))
    assert mode(tmp_path / ".tidecast") == 0o700
