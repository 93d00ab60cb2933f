"""Ray Train on a Ray of its own: the same seed gives the same version, and what is killed goes on.

A driver that is killed while a worker learns: test_train_elsewhere.py.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from streaming.recorded.recording import Recording
from streaming.recorded.replay import Replay
from streaming.room.window_config import WindowConfig
from tests.fake_encoder import FAKE_DIMENSION, FAKE_VERSION, fake_vectors
from tests.integration.train_driver import NICENESS
from tests.unit.training.recorded.recorded_chat import crowd, write
from training.examples import writer
from training.examples.schema import ExamplesConfig
from training.examples.writer import write_recorded
from training.fit.checkpoints import STATE
from training.fit.run import make_run_folder
from training.fit.run_folder import PLAN, Plan
from training.settings import TrainingConfig

PATIENCE_S = 240.0
SNAPSHOT = "checkpoint_manager_snapshot.json"


class Quiet:
    version, dimension = FAKE_VERSION, FAKE_DIMENSION

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        return fake_vectors(texts)

    def passed(self, records: int, examples: int, at_ms: int) -> None: ...

    def encoded(self, done: int, total: int) -> None: ...

    def began(self, stage: str) -> None: ...


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    recording = write(folder / "chat.parquet", crowd(3, num_messages=3_000))
    replay = Replay(Recording.open(recording, "chat"))
    quiet = Quiet()
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(writer, "SHARD_EXAMPLES", 300)  # several shards, for several workers
    make_run_folder(
        folder / "run",
        lambda examples: write_recorded(replay, examples, ExamplesConfig(), quiet),
        quiet,
        TrainingConfig(epochs=4, batch=64),
        window=WindowConfig(),
        title_weight=0.4,
        now_ms=1_800_000_000_000,
        encoding=quiet,
    )
    monkeypatch.undo()
    return folder / "run"


def copied(prepared: Path, to: Path) -> Path:
    shutil.copytree(prepared, to)
    return to


def start(run: Path, address: str, workers: int = 1) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.integration.train_driver", str(run), address, str(workers)]
    with (run / "driver.log").open("ab") as log:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
        }  # as Ray Train has it: sums in one order
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def finished(driver: subprocess.Popen[bytes], run: Path) -> dict[str, np.ndarray]:
    assert driver.wait(PATIENCE_S) == 0, (run / "driver.log").read_text()[-3_000:]
    with np.load(run / "learned.npz") as arrays:
        return dict(arrays)


def await_checkpoint(run: Path, driver: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not has_checkpoint(run / "checkpoints"):
        assert driver.poll() is None, "it ended before it could be killed\n" + (run / "driver.log").read_text()[-3_000:]
        assert time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.02)


def has_checkpoint(folder: Path) -> bool:
    """Whether Ray Train's workers, or the driver that learns itself, left a checkpoint."""
    by_ray = any("checkpoint_dir_name" in path.read_text() for path in folder.glob(f"*/{SNAPSHOT}"))
    return by_ray or any(folder.glob(f"*/{STATE}"))


def nicenesses(pid: int) -> set[int]:
    """The niceness of a process's threads; none of one that has ended, or whose threads end meanwhile."""
    try:
        return {os.getpriority(os.PRIO_PROCESS, int(thread.name)) for thread in Path(f"/proc/{pid}/task").iterdir()}
    except OSError:
        return set()


def steps_heard(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "heard.jsonl").read_text().splitlines()]


def learning_workers() -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any("RayTrainWorker" in part for part in process.info["cmdline"] or ())
    ]


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not np.array_equal(one[name], other[name])]
    assert not different, different


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, ray_address: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    run = copied(prepared, tmp_path_factory.mktemp("undisturbed") / "run")
    arrays = finished(start(run, ray_address, workers=0), run)  # a start of a worker less
    assert list((run / "curves").rglob("events.out.tfevents*")), "no curves for TensorBoard"
    return arrays


def test_a_killed_worker_goes_on_from_its_checkpoint_to_the_same_version(
    prepared: Path, ray_address: str, undisturbed: dict[str, np.ndarray], tmp_path: Path
) -> None:
    run = copied(prepared, tmp_path / "run")
    driver = start(run, ray_address)
    # Looked for all the while: looking takes time, and after a checkpoint a fast machine has soon learned the rest.
    learning: list[psutil.Process] = []
    deadline = time.monotonic() + PATIENCE_S
    while not (learning and has_checkpoint(run / "checkpoints")):
        assert driver.poll() is None, "what learned took as much as who answers\n" + (run / "driver.log").read_text()
        assert time.monotonic() < deadline, "no checkpoint"
        learning = [worker for worker in learning_workers() if NICENESS in nicenesses(worker.pid)]
    for worker in learning:
        worker.send_signal(signal.SIGKILL)
    assert not (run / "learned.npz").exists(), "it had learned all before it could be killed"
    assert_same(finished(driver, run), undisturbed)


def test_a_driver_that_learns_itself_goes_on_after_a_kill_to_the_version_of_a_worker(
    prepared: Path, ray_address: str, undisturbed: dict[str, np.ndarray], tmp_path: Path
) -> None:
    run = copied(prepared, tmp_path / "run")
    driver = start(run, ray_address, workers=0)
    await_checkpoint(run, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    before = len(steps_heard(run))
    assert_same(finished(start(run, ray_address, workers=0), run), undisturbed)
    assert steps_heard(run)[before] > 1, "it began anew"


def test_two_workers_learn_one_model(prepared: Path, ray_address: str, tmp_path: Path) -> None:
    run = copied(prepared, tmp_path / "run")
    assert len(json.loads((run / "examples" / "index.json").read_text())["shards"]) > 1
    assert np.isfinite(finished(start(run, ray_address, workers=2), run)["rooms.project.weight"]).all()


def test_a_loss_that_is_not_a_number_stops_the_run_and_keeps_the_batch(
    prepared: Path, ray_address: str, tmp_path: Path
) -> None:
    run = copied(prepared, tmp_path / "run")
    plan = msgspec.json.decode((run / PLAN).read_bytes(), type=Plan)
    wild = dataclasses.replace(plan.fit, learn=dataclasses.replace(plan.fit.learn, rate=1e30))
    (run / PLAN).write_bytes(msgspec.json.encode(msgspec.structs.replace(plan, fit=wild)))
    driver = start(run, ray_address, workers=0)  # the same function as in a worker, without the start of one
    assert driver.wait(PATIENCE_S) != 0
    said = (run / "driver.log").read_text()
    assert "is not a number" in said
    assert list(run.glob("lost-*.npz"))
