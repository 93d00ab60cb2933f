"""A training run from examples to a judged version: its input, its Ray and its judge. Never learns itself.

`tidecast train` and the Trainer deployment both run it.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from deploy.config.settings import Settings
from deploy.ray.local_ray import LocalRay
from deploy.ray.watch import Watch
from deploy.train.fine_tuning import FineTuning, LaterRay, LearningProgress, resources_of
from streaming.archive.reader import Archive
from streaming.archive.store import open_store
from streaming.clock import Clock, SystemClock
from streaming.errors import Diverged
from training.content.encode_missing import Encoder, EncodingProgress
from training.examples.dataset import ExampleSet
from training.examples.schema import ExamplesConfig, PassProgress
from training.examples.writer import write_archived
from training.fit.run import Parent, give_way, make_run_folder
from training.fit.run_store import TransferProgress
from training.fit.runs import Runs
from training.registry.bundle import Bundle

if TYPE_CHECKING:
    from training.evaluation.promotion_gate import SliceGate
    from training.registry.registry import Registry

WriteExamples = Callable[[Path, ExamplesConfig, PassProgress], ExampleSet]


class TrainingProgress(PassProgress, EncodingProgress, TransferProgress, LearningProgress, Protocol):
    """A follower of all stages of a run."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A version, with the judge that tests it on visits that it did not learn from."""

    bundle: Bundle
    gate: SliceGate
    visits: int
    streamers: int


def train(
    settings: Settings,
    write_examples: WriteExamples,
    encoder: Encoder,
    progress: TrainingProgress,
    clock: Clock,
    *,
    runs: Runs,
    parent: Parent | None = None,
    resume: bool = False,
    is_settled: Callable[[str], bool] = lambda _: False,
    ray: contextlib.AbstractContextManager[None] | None = None,
) -> Trained:
    """Makes a version. Blocks. Raises TrainingError, ArchiveError; then nothing has changed.

    runs: entered; the caller says when the run is over. resume: goes on with the run that was stopped, if there is one.
    is_settled: whether a version was judged already, so that its run was over when it was stopped. ray: connects to a
    Ray, once there is enough to learn from; None: this process is connected already.
    """
    config = settings.training.below(Path.cwd())
    give_way(config.niceness)
    now_ms = clock.now_ms()
    run_folder = runs.unfinished(now_ms, progress, is_settled) if resume else None
    with LaterRay(ray, settings, progress.began) as connection:
        if run_folder is None:
            examples = ExamplesConfig(share=config.share, seed=config.seed)
            tuning = FineTuning(settings.encoder, config, progress, connection)
            run_folder = make_run_folder(
                runs.folder,
                lambda folder: write_examples(folder, examples, progress),
                encoder,
                config,
                window=settings.window,
                title_weight=settings.tables.title_weight,
                now_ms=now_ms,
                encoding=progress,
                parent=parent,
                tuned=tuning.tuned if tuning.is_wanted else None,
                keep_examples=resume and tuning.can_go_on(runs.folder, now_ms),
            )
        runs.begin(run_folder, progress)
        connection.connect()
        progress.began("starting to learn")
        from training.evaluation.promotion_gate import SliceGate  # noqa: PLC0415  torch
        from training.fit.ray_fit import fit_on_ray  # noqa: PLC0415  torch and Ray Train, which reads its environment at import

        try:
            bundle = fit_on_ray(run_folder, resources_of(config), runs.storage, progress.learned)
        except Diverged:
            runs.over()
            raise
    runs.require()
    gate = SliceGate(run_folder.unseen(), run_folder.plan.streamers, settings.recommend.baseline, config.seed)
    return Trained(bundle, gate, len(run_folder.examples), len(run_folder.plan.streamers))


def parent_of(registry: Registry) -> Parent | None:
    """The live version, for a run that continues from it; None for v0."""
    live = registry.latest()
    if live is None:
        return None
    bundle = registry.load(live)
    return Parent(bundle.manifest, bundle.names["streamers"], live.path)


def archived(settings: Settings, *, rebuild: bool) -> WriteExamples:
    """Examples of the archive's last hours."""
    hours = settings.training.history_hours if rebuild else settings.training.refresh_hours
    from_ms = SystemClock().now_ms() - int(3_600_000 * hours)
    archive = Archive(open_store(settings.archive.below(Path.cwd()).uri))
    return lambda folder, config, progress: write_archived(
        archive,
        folder,
        config,
        progress,
        from_ms=from_ms,
        profile=settings.profile,
        room_timeout_s=settings.room_worker.room_timeout_s,
    )


class LaterEncoder:
    """An encoder that loads its model at the first request: a recording that is too small needs none."""

    def __init__(self, load: Callable[[], Encoder]) -> None:
        self._load = load

    @functools.cached_property
    def _loaded(self) -> Encoder:
        return self._load()

    @property
    def version(self) -> str:
        return self._loaded.version

    @property
    def dimension(self) -> int:
        return self._loaded.dimension

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        return self._loaded.encode(texts)


@contextlib.contextmanager
def connected_ray(settings: Settings) -> Iterator[None]:
    """A connection to a Ray to learn on: the one of ray.address, or one of its own on this machine.

    The latter ends with the block, or with this process if that ends earlier.
    """
    if settings.ray.address:
        with _connected(settings.ray.address):
            yield
        return
    local = LocalRay(settings.ray)
    watch = Watch(local.folder)
    try:
        os.environ.update(local.environment())
        local.start()
        with _connected(local.address):
            yield
    finally:
        local.kill()
        watch.end()


@contextlib.contextmanager
def _connected(address: str) -> Iterator[None]:
    import ray  # noqa: PLC0415  its environment comes first

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
