"""Tests of the word to the workers of a host that it goes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from deploy.serve import leaving
from deploy.serve.leaving import FILE, Leaving

SOON_S = 10.0


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "PERIOD_S", 0.01)


def test_a_worker_leaves_once_the_file_is_there(tmp_path: Path) -> None:
    told = threading.Event()
    Leaving(tmp_path, told.set).start()
    assert not told.wait(0.1)
    (tmp_path / FILE).touch()
    assert told.wait(SOON_S)


def test_a_file_of_another_time_says_nothing_until_it_is_touched_again(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    told = threading.Event()
    Leaving(tmp_path, told.set).start()
    assert not told.wait(0.1)
    (tmp_path / FILE).touch()
    assert told.wait(SOON_S)


def test_a_folder_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    told = threading.Event()
    Leaving(tmp_path / "none", told.set).start()
    assert not told.wait(0.1)
