"""The driver of a run of Ray Train, as a process that a test can kill. Writes what it hears and the arrays it gets."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import ray

from training.fit.ray_fit import fit_on_ray
from training.fit.ray_run import WorkerResources
from training.fit.run_folder import open_run_folder

NICENESS = 3  # of what learns


def main(folder: Path, address: str, workers: int) -> None:
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    with (folder / "heard.jsonl").open("a") as heard:

        def hear(said: object) -> None:
            heard.write(json.dumps(said) + "\n")
            heard.flush()

        scale = WorkerResources(workers, niceness=NICENESS, checkpoint_s=1.0, cpus=0.1)
        bundle = fit_on_ray(open_run_folder(folder), scale, str(folder / "checkpoints"), hear)
    np.savez(folder / "learned.npz", **bundle.arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
