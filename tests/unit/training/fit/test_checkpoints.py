"""Checkpoints of a process that learns by itself: files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from streaming.errors import TrainingError
from training.fit.checkpoints import STATE, FileCheckpoints


def test_the_newest_state_is_what_a_later_process_goes_on_from(tmp_path: Path) -> None:
    first = FileCheckpoints(str(tmp_path), "run")
    assert first.newest() is None
    first.keep({"step": 1, "model": {"weight": torch.ones(3)}}, {"step": 1})
    first.keep({"step": 2, "model": {"weight": torch.full((3,), 2.0)}}, {"step": 2})
    state = FileCheckpoints(str(tmp_path), "run").newest()
    assert state is not None
    assert state["step"] == 2
    assert torch.equal(state["model"]["weight"], torch.full((3,), 2.0))
    assert [path.name for path in (tmp_path / "run").iterdir()] == [STATE]


def test_another_run_begins_anew(tmp_path: Path) -> None:
    FileCheckpoints(str(tmp_path), "run").keep({"step": 1}, {})
    assert FileCheckpoints(str(tmp_path), "other").newest() is None


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where a folder must be")
    with pytest.raises(TrainingError, match="a checkpoint cannot be written"):
        FileCheckpoints(str(tmp_path), "run").keep({"step": 1}, {})
