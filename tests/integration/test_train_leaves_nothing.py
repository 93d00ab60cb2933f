"""`tidecast train` as a process that is killed: the Ray that it started ends with it, and no other does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.config.ray_settings import RayConfig
from deploy.ray.local_ray import MARK, LocalRay
from streaming.machine.process_words import environment_of
from tests.unit.training.recorded.recorded_chat import crowd, write

PATIENCE_S = 120.0
OF_TEST = "TIDECAST_TESTED_IN"  # in the environment of what a test starts: its folder


def await_true(what: str, holds: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.05)


def folders(said: str) -> set[Path]:
    """Folders of the Rays of ours whose processes have `said` in their environment: others may run here as well."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            lines = environment_of(int(entry.name)).split(b"\0")
        except (OSError, ValueError):  # no process, another's, or gone meanwhile
            continue
        if said.encode() in lines:
            marks = [line for line in lines if line.startswith(MARK.encode() + b"=")]
            found |= {Path(os.fsdecode(line).partition("=")[2]) for line in marks}
    return found


@pytest.fixture
def another() -> Iterator[LocalRay]:
    """A Ray that somebody else has started."""
    ray = LocalRay(RayConfig())
    try:
        ray.start()
        yield ray
    finally:
        ray.kill()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`tidecast train` of a recording, in a session of its own."""
    chat = write(tmp_path / "chat.parquet", crowd(3, num_messages=6_000))
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "train", str(chat), "--out", str(tmp_path / "version")],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "OMP_NUM_THREADS": "1",
                OF_TEST: str(tmp_path),
            },
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_what_it_started_ends_with_a_killed_training_and_nothing_else_does(
    another: LocalRay, command: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    said = f"{OF_TEST}={tmp_path}"
    await_true("a Ray for the training", lambda: command.poll() is not None or bool(folders(said)))
    assert command.poll() is None, (tmp_path / "said").read_text()[-2_000:]
    (folder,) = folders(said)
    assert folder != another.folder
    started = LocalRay(RayConfig(), folder)
    others = set(another.pids())
    await_true("workers that learn", (tmp_path / ".tidecast" / "training" / "checkpoints").exists)
    assert started.pids()
    os.killpg(command.pid, signal.SIGKILL)  # whatever is of its group too, as where a terminal or a runner gives up
    command.wait()
    await_true("the end of its Ray", lambda: not started.pids(), timeout_s=20.0)
    await_true("the end of its folder", lambda: not folder.exists(), timeout_s=20.0)
    assert others <= set(another.pids())
