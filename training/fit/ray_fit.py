"""Training under Ray Train: from a run folder to a version, on any number of workers. Never publishes.

Each worker reads its own shards; gradients are averaged, so all have one model. When a worker or the driver is killed,
only the work since the last checkpoint is lost: the same call continues from it. On one worker, or in this process (no
workers), the result follows from the plan and the examples alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import torch

from streaming.archive.store import open_store
from streaming.errors import Diverged
from training.fit.distributed import Distributed
from training.fit.export import load_bundle
from training.fit.learner import Learner, NotANumber, steps_per_epoch
from training.fit.local_fit import check_learnable, finish, new_model
from training.fit.ray_run import Course, WorkerResources, run_on_ray
from training.fit.run import give_way
from training.fit.run_folder import RunFolder, open_run_folder
from training.registry import bundle as files
from training.registry.bundle import Bundle

VERSION = "version"


def fit_on_ray(
    run_folder: RunFolder, resources: WorkerResources, storage: str, progress: Callable[[Mapping[str, Any]], None]
) -> Bundle:
    """The bundle of a version trained on the connected Ray, or in this process where resources.workers is 0.

    storage: a folder that all processes see, or a URI, for checkpoints. progress: called about twice a second with
    step, steps, phase, losses, unit, per_s (visits a second), left_s. Raises TrainingError, Diverged; ArchiveError: no
    such storage.
    """
    outcome = run_on_ray(
        learn_on_worker,
        {"folder": str(run_folder.folder)},
        resources,
        name=run_folder.name,
        storage=storage,
        progress=progress,
    )
    if "failed" in outcome:
        raise Diverged(outcome["failed"])
    return files.read(open_store(outcome["version"], "version"))


def learn_on_worker(config: dict[str, Any]) -> dict[str, str]:
    """The training function of each Ray Train worker.

    The first worker returns the place of the version ("version") or why there is none ("failed"), the others {}.
    """
    context = ray.train.get_context()
    rank, processes = context.get_world_rank(), context.get_world_size()
    give_way(config["niceness"])
    torch.set_num_threads(config["threads"])
    run_folder = open_run_folder(Path(config["folder"]))
    candidate_sets, plan = run_folder.candidate_sets(rank, processes), run_folder.plan
    if rank == 0:
        check_learnable(candidate_sets)
    model = new_model(candidate_sets, plan.fit, len(plan.streamers))
    parent = files.read(open_store(plan.parent, "version")) if plan.parent else None
    previous = load_bundle(parent, model) if parent is not None else None
    group = Distributed(processes) if processes > 1 else None
    until = int(np.searchsorted(candidate_sets.at_ms_V, plan.until_ms))
    per_epoch = steps_per_epoch(until, plan.fit.learn)
    if group is not None:
        group.broadcast(model)
        per_epoch = group.largest(per_epoch)
    learner = Learner(
        model,
        candidate_sets,
        plan.fit.learn,
        until=until,
        rank=rank,
        per_epoch=per_epoch,
        group=group,
        previous=previous,
    )
    course = Course(config, rank, learner, run_folder.folder / "curves")
    course.restore()
    try:
        for step in learner.run():
            course.after(step)
    except NotANumber as err:
        return {"failed": f"{err}; the batch is in {_keep_batch(err, run_folder.folder, learner.step, rank)}"}
    if rank:
        return {}
    bundle = finish(
        model,
        candidate_sets,
        len(candidate_sets) - until,
        streamers=plan.streamers,
        transitions=run_folder.transitions(),
        config=plan.fit,
        origin=plan.origin,
    )
    return {"version": _written(bundle, run_folder.folder)}


def _written(bundle: Bundle, folder: Path) -> str:
    """Writes the version into the run folder; returns its place."""
    place = str(folder / VERSION)
    store = open_store(place, "version")
    files.remove(store, "")
    files.write(bundle, store)
    return place


def _keep_batch(err: NotANumber, folder: Path, step: int, rank: int) -> Path:
    """Writes the batch whose loss is not a number, for whoever looks into it; returns its file."""
    path = folder / f"lost-{step}-{rank}.npz"
    arrays = {
        name: value.numpy()
        for name in (field.name for field in fields(err.batch))
        if isinstance(value := getattr(err.batch, name), torch.Tensor)
    }
    np.savez(path, allow_pickle=False, **arrays)
    return path
