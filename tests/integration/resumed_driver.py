"""A training on a host of its own, as a process that a test can kill. Writes what it hears and the arrays it gets.

Its disk is the folder `disk` beside what it writes; what it learns from is a recording, and its encoder a fake.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from deploy.config.settings import Settings
from deploy.train.run import train
from streaming.clock import ManualClock
from streaming.recorded.recording import Recording
from streaming.recorded.replay import Replay
from tests.fake_encoder import FAKE_DIMENSION, FAKE_VERSION, fake_vectors
from training.examples.writer import write_recorded
from training.fit.run import alone
from training.fit.runs import Runs
from training.settings import TrainingConfig


class Heard:
    version, dimension = FAKE_VERSION, FAKE_DIMENSION

    def __init__(self, file: Any) -> None:
        self._file = file

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        return fake_vectors(texts)

    def passed(self, records: int, examples: int, at_ms: int) -> None: ...

    def encoded(self, done: int, total: int) -> None: ...

    def began(self, stage: str) -> None:
        self._write({"stage": stage})

    def transferred(self, done: int, total: int) -> None:
        self._write({"bytes": done, "of": total})

    def learned(self, said: Mapping[str, Any]) -> None:
        self._write(said)

    def _write(self, said: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(said) + "\n")
        self._file.flush()


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def main(host: Path, chat: Path, address: str, workers: int, checkpoints: str) -> None:
    config = TrainingConfig(
        folder=str(host / "disk"), workers=workers, niceness=0, checkpoint_s=1.0, epochs=4, batch=64
    )
    settings = Settings(training=config)
    replay = Replay(Recording.open(chat, "chat"))
    folder = Path(config.folder)
    with (
        (host / "heard.jsonl").open("a") as heard,
        alone(folder),
        Runs(folder, checkpoints, beat_s=0.5, silent_s=2.0) as runs,
    ):
        trained = train(
            settings,
            lambda place, examples, progress: write_recorded(replay, place, examples, progress),
            Heard(heard),
            Heard(heard),
            ManualClock(),
            runs=runs,
            resume=True,
            ray=connected(address),
        )
        runs.over()
    np.savez(host / "learned.npz", **trained.bundle.arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), os.environ["CHECKPOINTS"])
