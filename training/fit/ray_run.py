"""A function of ours on Ray Train's workers, its checkpoints and its progress. Never knows what is learned.

When a worker or the driver is killed, only the work since the last checkpoint is lost: the same call continues from it.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ray
import ray.train
import torch
import torch.distributed
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from streaming.archive.store import filesystem_of
from streaming.errors import TrainingError
from training.fit.checkpoints import STATE, FileCheckpoints

REPORT_S = 0.5  # between two reports of progress
MAX_RESTARTS = 8  # of workers, in a run


@dataclass(frozen=True, slots=True)
class WorkerResources:
    """The resources of a run. workers: processes; threads, cpus, niceness: of each.

    checkpoint_s: seconds between checkpoints, which a kill may lose.
    """

    workers: int = 1
    gpu: bool = False
    threads: int = 1
    cpus: float = 1.0
    niceness: int = 0
    checkpoint_s: float = 20.0


class ProgressActor:
    """A Ray actor that holds the latest progress of the first worker. Never blocks its callers."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def report(self, progress: dict[str, Any]) -> None:
        """Replaces the latest progress."""
        self._last = progress

    def last(self) -> dict[str, Any]:
        """The latest progress; {} before the first report."""
        return self._last


def run_on_ray(
    function: Callable[[dict[str, Any]], dict[str, str]],
    config: Mapping[str, Any],
    resources: WorkerResources,
    *,
    name: str,
    storage: str,
    progress: Callable[[Mapping[str, Any]], None],
) -> dict[str, str]:
    """Runs a training function on the connected Ray, or in this process where resources.workers is 0; what it returns.

    function: gets `config`, with what `Course` reads in it. name: of the run; one of another name begins anew. storage:
    a folder that all processes see, or a URI, for checkpoints. progress: called about twice a second, as
    `Course.after` reports. Raises TrainingError; ArchiveError: no such storage.
    """
    # Ray shows the path to whoever asks it for runs, and a URI may hold a password
    filesystem, path = filesystem_of(storage, "training.checkpoints") if "://" in storage else (None, storage)
    # In this process progress needs no actor, which takes a process and seconds of processor time to start.
    actor = ray.remote(ProgressActor).options(num_cpus=0).remote() if resources.workers else None
    trainer = TorchTrainer(
        function,
        train_loop_config={
            **config,
            "threads": resources.threads,
            "gpu": resources.gpu,
            "niceness": resources.niceness,
            "checkpoint_s": resources.checkpoint_s,
            "file_checkpoints": storage if resources.workers == 0 else "",
            "name": name,
            "report": progress if actor is None else _ProgressSender(actor),
        },
        torch_config=TorchConfig(backend="nccl" if resources.gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpu,
            resources_per_worker={"CPU": resources.cpus, **({"GPU": 1} if resources.gpu else {})},
        ),
        run_config=RunConfig(
            name=name,
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=MAX_RESTARTS),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            # Two threads of BLAS on one busy core wait for each other: a call of a millisecond then takes ten.
            worker_runtime_env={"env_vars": {"OMP_NUM_THREADS": str(resources.threads)}},
        ),
    )
    with _ProgressFollower(actor, progress) if actor is not None else contextlib.nullcontext():
        try:
            result = trainer.fit()
        except ray.train.v2.api.exceptions.TrainingFailedError as err:
            raise TrainingError(f"learning failed: {_cause(err)}") from err
    return dict(result.return_value or {})


def _cause(err: Exception) -> str:
    """What Ray Train's error says in the end: before that it quotes tracebacks of the workers."""
    return next((line.strip() for line in reversed(str(err).splitlines()) if line.strip()), type(err).__name__)


class Checkpoints(Protocol):
    """The checkpoints of one run, of which the newest counts."""

    def newest(self) -> dict[str, Any] | None:
        """The state to continue from; None at the beginning. Raises TrainingError: it cannot be read."""

    def keep(self, state: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        """Replaces the checkpoint before, once this one is whole. figures: of the step. Raises TrainingError."""


class _RayCheckpoints:
    """Checkpoints by Ray Train. All workers must call `keep` at the same steps; the first one's state counts."""

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def newest(self) -> dict[str, Any] | None:
        """The state to continue from, as `Checkpoints.newest`."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            state: dict[str, Any] = torch.load(Path(folder) / STATE, weights_only=True)
        return state

    def keep(self, state: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        """Reports a checkpoint to Ray Train, as `Checkpoints.keep`."""
        if self._rank:
            ray.train.report(dict(figures))
            return
        with tempfile.TemporaryDirectory() as folder:
            torch.save(dict(state), Path(folder) / STATE)
            ray.train.report(dict(figures), checkpoint=ray.train.Checkpoint.from_directory(folder))


class Step(Protocol):
    """A step of learning. examples: those of this process in the step's batch."""

    @property
    def step(self) -> int: ...
    @property
    def phase(self) -> str: ...
    @property
    def examples(self) -> int: ...
    @property
    def losses(self) -> Mapping[str, float]: ...


class Learns(Protocol):
    """Something that learns in steps and can be continued from its state."""

    @property
    def step(self) -> int:
        """The steps done."""

    @property
    def steps(self) -> int:
        """The steps of the whole."""

    def state(self) -> dict[str, Any]:
        """What the next step needs."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continues from a state."""


class Course:
    """Checkpoints, curves and progress reports of one worker; all but the first only keep step with it."""

    def __init__(
        self, config: Mapping[str, Any], rank: int, learner: Learns, curves: Path, unit: str = "visits"
    ) -> None:
        """config: as `run_on_ray` passes it. curves: a folder for TensorBoard. unit: the name of examples."""
        self._unit = unit
        where, name = config["file_checkpoints"], config["name"]
        self._checkpoints: Checkpoints = FileCheckpoints(where, name) if where else _RayCheckpoints(rank)
        self._report_progress, self._every_s = config["report"], float(config["checkpoint_s"])
        self._rank, self._learner = rank, learner
        self._began_s = self._saved_s = self._reported_s = time.monotonic()
        self._began_step = 0
        self._examples = 0
        self._curves = Curves(curves / name) if rank == 0 else None

    def restore(self) -> None:
        """Continues from the newest checkpoint, if there is one."""
        state = self._checkpoints.newest()
        if state is not None:
            self._learner.restore(state)
            self._began_step = self._learner.step

    def after(self, step: Step) -> None:
        """Reports progress and keeps a checkpoint after a step, where these are due.

        A report holds step, steps, phase, losses, unit (of its examples), per_s (of them a second), left_s.
        """
        now_s = time.monotonic()
        self._examples += step.examples
        if self._curves is not None:
            self._curves.add(step)
            if now_s - self._reported_s >= REPORT_S or step.step == self._learner.steps:
                self._report(step, now_s)
        if self._is_due(step.step, now_s):
            self._checkpoints.keep(self._learner.state(), {"step": step.step, **step.losses})
            self._saved_s = time.monotonic()

    def _is_due(self, step: int, now_s: float) -> bool:
        """Whether a checkpoint is due, the same in every worker, by the first one's clock: all must keep together."""
        if step == self._learner.steps:
            return True
        if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            due = torch.tensor([float(self._rank == 0 and now_s - self._saved_s >= self._every_s)])
            torch.distributed.broadcast(due, 0)
            return bool(due.item())
        return now_s - self._saved_s >= self._every_s

    def _report(self, step: Step, now_s: float) -> None:
        self._reported_s = now_s
        done = step.step - self._began_step
        pace_s = (now_s - self._began_s) / max(done, 1)
        self._report_progress(
            {
                "step": step.step,
                "steps": self._learner.steps,
                "phase": step.phase,
                "losses": step.losses,
                "unit": self._unit,
                "per_s": self._examples / max(now_s - self._began_s, 1e-3),
                "left_s": pace_s * (self._learner.steps - step.step),
            }
        )


class _ProgressSender:
    """A callable that sends a worker's progress to the actor without waiting."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __call__(self, progress: Mapping[str, Any]) -> None:
        self._actor.report.remote(dict(progress))


class _ProgressFollower:
    """A context in which a thread passes the workers' progress on."""

    def __init__(self, actor: Any, progress: Callable[[Mapping[str, Any]], None]) -> None:
        self._actor, self._progress = actor, progress
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="training-progress", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        """Polls until stopped, and once more then: the last report says that all is done."""
        last, over = "", False
        while not over:
            over = self._stop.wait(REPORT_S)
            try:
                reported = ray.get(self._actor.last.remote(), timeout=5.0)
            except ray.exceptions.GetTimeoutError:
                continue  # everything is busy starting
            except ray.exceptions.RayError:
                return  # the run is over, and says itself how it ended
            if reported and (now := json.dumps(reported)) != last:
                last = now
                self._progress(reported)


class Curves:
    """A writer of losses for TensorBoard; look at them with `tensorboard --logdir` and the folder."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter  # noqa: PLC0415  Ray Train brings it

        self._writer = SummaryWriter(str(folder))

    def add(self, step: Step) -> None:
        """Writes the losses of a step."""
        for name, loss in step.losses.items():
            self._writer.add_scalar(f"{step.phase}/{name}", loss, step.step)
