"""A training whose host is lost with its disk goes on on another one, from the checkpoint in the store."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streaming.archive.store import open_store
from tests.s3_server import SECRET, S3Server
from tests.unit.training.recorded.recorded_chat import crowd, write
from training.fit.checkpoints import STATE

PATIENCE_S = 240.0
SNAPSHOT = "checkpoint_manager_snapshot.json"


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("chat") / "chat.parquet", crowd(3, num_messages=3_000))


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


class Host:
    """A host with a disk of its own, on which a training runs."""

    def __init__(self, place: Path, chat: Path, address: str, checkpoints: str, workers: int) -> None:
        self.place = place
        self._command = [sys.executable, "-m", "tests.integration.resumed_driver"]
        self._command += [str(place), str(chat), address, str(workers)]
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", "CHECKPOINTS": checkpoints}
        place.mkdir(exist_ok=True)

    def start(self) -> subprocess.Popen[bytes]:
        with (self.place / "log").open("ab") as log:
            return subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT, env=self._environment)

    def learned(self, driver: subprocess.Popen[bytes]) -> dict[str, np.ndarray]:
        assert driver.wait(PATIENCE_S) == 0, self.log()[-3_000:]
        with np.load(self.place / "learned.npz") as arrays:
            return dict(arrays)

    def log(self) -> str:
        return (self.place / "log").read_text()

    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.place / "heard.jsonl").read_text().splitlines()]

    def steps(self) -> list[int]:
        return [said["step"] for said in self.heard() if "step" in said]


@pytest.fixture(scope="module")
def host(chat: Path, ray_address: str) -> Callable[[Path, str, int], Host]:
    """Makes a host at a place, whose checkpoints are at a URI, with so many workers."""
    return lambda place, checkpoints, workers: Host(place, chat, ray_address, checkpoints, workers)


@pytest.fixture(scope="module")
def undisturbed(
    host: Callable[[Path, str, int], Host], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    alone = host(tmp_path_factory.mktemp("undisturbed") / "host", "", 0)  # test_train.py: a worker learns the same
    return alone.learned(alone.start())


def await_true(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.05)


def has_checkpoint(uri: str) -> bool:
    """Whether Ray Train's workers, or the driver that learns itself, left a checkpoint in the store."""
    store = open_store(uri)
    paths = [entry.path for entry in store.list()]
    snapshots = [path for path in paths if path.endswith(f"/{SNAPSHOT}")]
    return any(path.count("/") == 1 and path.endswith(STATE) for path in paths) or any(
        b"checkpoint_dir_name" in store.open(path).read() for path in snapshots
    )


@pytest.mark.parametrize(("kind", "workers"), [("file", 0), ("s3", 1)])
def test_a_host_that_is_lost_with_its_disk_costs_no_more_than_since_the_last_checkpoint(
    kind: str,
    workers: int,
    host: Callable[[Path, str, int], Host],
    undisturbed: dict[str, np.ndarray],
    request: pytest.FixtureRequest,
) -> None:
    tmp_path: Path = request.getfixturevalue("tmp_path")
    s3 = request.getfixturevalue("s3")
    uri = s3.uri(f"{tmp_path.name}/checkpoints") if kind == "s3" else f"file://{tmp_path}/store"
    first, second = (host(tmp_path / name, uri, workers) for name in ("first", "second"))
    driver = first.start()
    await_true("a checkpoint", lambda: driver.poll() is not None or has_checkpoint(uri))
    assert driver.poll() is None, "it ended before it could be killed\n" + first.log()[-3_000:]
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    shutil.rmtree(first.place / "disk")
    arrays = second.learned(second.start())
    assert second.steps()[0] > 1, "it began anew"
    stages = [said["stage"].partition(" ")[0] for said in second.heard() if "stage" in said]
    assert stages[:2] == ["waiting", "fetching"]
    assert arrays.keys() == undisturbed.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], undisturbed[name])] == []
    assert open_store(uri).list() == [], "a run that is over leaves nothing"
    assert SECRET not in first.log() + second.log() + json.dumps(second.heard())
