"""Fine-tuning of the encoder as a part of a training run, and the Ray that both parts share. Never learns itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from deploy.config.settings import Settings
from streaming.errors import TrainingError
from training.content.encode_missing import Encoder
from training.examples.dataset import INDEX, ExampleSet
from training.fit.run import ENCODER, EXAMPLES
from training.fit.run_folder import PLAN as WHOLE
from training.fit.run_folder import judged_from_ms
from training.fit.runs import CHECKPOINTS, MAX_AGE_MS, OVER
from training.settings import EncoderConfig, TrainingConfig

if TYPE_CHECKING:
    from training.fine_tuning.encoder_run import EncoderPlan
    from training.fit.ray_run import WorkerResources

ENCODERS = "encoders"  # of training.folder: those that were fine-tuned


class LaterRay:
    """A connection to a Ray that is made when it is first needed, as a context manager."""

    def __init__(
        self,
        ray: contextlib.AbstractContextManager[None] | None,
        settings: Settings,
        began: Callable[[str], None],
    ) -> None:
        """ray: connects; None: this process is connected already. began: is told of what takes a while."""
        self._ray, self._address, self._began = ray, settings.ray.address, began
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> LaterRay:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def connect(self) -> None:
        """Connects, unless this was called before."""
        ray, self._ray = self._ray, None
        if ray is not None:
            self._began(f"connecting to Ray at {self._address}" if self._address else "starting Ray")
            self._stack.enter_context(ray)


class LearningProgress(Protocol):
    """A follower of learning."""

    def began(self, stage: str) -> None:
        """Is told of a stage that begins."""

    def learned(self, said: Mapping[str, Any]) -> None:
        """Takes a report of steps, as training/fit/ray_run.py makes it."""


@dataclass(frozen=True, slots=True)
class FineTuning:
    """Fine-tuning of the encoder in one run. Its checkpoints are in training.folder."""

    encoder: EncoderConfig
    config: TrainingConfig
    progress: LearningProgress
    ray: LaterRay

    @property
    def is_wanted(self) -> bool:
        """Whether training.encoder says so."""
        return self.config.encoder == "full"

    def can_go_on(self, run: Path, now_ms: int) -> bool:
        """Whether fine-tuning with these settings was stopped in a run folder, not long ago."""
        from training.fine_tuning.encoder_run import PLAN, encoder_plan  # noqa: PLC0415  torch

        begun, ended = run / ENCODER / PLAN, run / WHOLE  # the latter: what follows fine-tuning has begun
        if not (self.is_wanted and begun.is_file() and (run / EXAMPLES / INDEX).is_file()) or ended.exists():
            return False
        if now_ms - 1_000 * begun.stat().st_mtime > MAX_AGE_MS or (run / OVER).exists():
            return False
        try:
            return encoder_plan(run / ENCODER) == self._plan()
        except TrainingError:
            return False

    def tuned(self, folder: Path, examples: ExampleSet) -> Encoder:
        """The encoder, fine-tuned on pairs of the examples' texts. Its model stays in training.folder/encoders.

        folder: of this fine-tuning; what it holds is gone on with. The same encoder with the same pairs and settings is
        not fine-tuned twice. Raises TrainingError, EncoderError.
        """
        from training.content.text_encoder import TextEncoder  # noqa: PLC0415  torch
        from training.fine_tuning.encoder_run import PLAN, run_name, write_encoder_run  # noqa: PLC0415
        from training.fine_tuning.pairs_of_examples import pairs_of_examples  # noqa: PLC0415

        plan, progress = self._plan(), self.progress
        if not (folder / PLAN).is_file():
            progress.began("pairing texts that belong together")
            pairs = pairs_of_examples(examples, plan.pairs, judged_from_ms(examples))
            rooms = len(np.unique(pairs.left_room_P))
            if len(pairs) < plan.learn.batch * plan.workers or rooms < 2:
                raise TrainingError(
                    f"{len(pairs)} pairs of texts of {rooms} rooms to fine-tune the encoder on; at least "
                    f"{plan.learn.batch} for each worker, and two rooms, are needed: give more chat"
                )
            write_encoder_run(folder, pairs, plan)
        base = plan.name.partition("@")[0].partition("+")[0]
        place = Path(self.config.folder) / ENCODERS / f"{base}-{run_name(folder).rpartition('-')[2][:8]}"
        if place.is_dir():
            progress.began(f"the encoder was fine-tuned on these pairs before: {place}")
        else:
            self._learn(folder, place)
        progress.began(f"encoding with {place}")
        return TextEncoder(replace(self.encoder, model=str(place), prefix="", query_prefix=""))

    def _plan(self) -> EncoderPlan:
        from training.content.language_model import find  # noqa: PLC0415
        from training.fine_tuning.encoder_learner import EncoderLearnConfig  # noqa: PLC0415  torch
        from training.fine_tuning.encoder_run import EncoderPlan  # noqa: PLC0415
        from training.fine_tuning.pairs_of_examples import PairsConfig  # noqa: PLC0415

        config = self.config
        return EncoderPlan(
            name=find(self.encoder).name,
            encoder=self.encoder,
            pairs=PairsConfig(most=config.pairs, seed=config.seed),
            learn=EncoderLearnConfig(
                layers=config.encoder_layers,
                rate=config.encoder_rate,
                title_weight=config.title_weight,
                seed=config.seed,
            ),
            workers=max(1, config.workers),
        )

    def _learn(self, folder: Path, place: Path) -> None:
        """Fine-tunes, and moves the model to where it stays: a run folder is emptied by the next run."""
        self.ray.connect()
        self.progress.began("starting to fine-tune the encoder")
        from training.fine_tuning.ray_encoder import fine_tune_on_ray  # noqa: PLC0415  Ray reads its environment at import

        checkpoints = str(Path(self.config.folder) / CHECKPOINTS)
        made = fine_tune_on_ray(folder, resources_of(self.config), checkpoints, self.progress.learned)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            made.rename(place)
        except OSError as err:
            raise TrainingError(f"{place}: the encoder cannot be written: {err}") from err


def fine_tuned(config: TrainingConfig, encoder_version: str) -> Path | None:
    """The folder of the encoder of this version, where a training of this training.folder has made it."""
    place = Path(config.folder) / ENCODERS / encoder_version.partition("@")[0]
    return place if "@" in encoder_version and place.is_dir() else None


def resources_of(config: TrainingConfig) -> WorkerResources:
    """What the settings give each worker."""
    from training.fit.ray_run import WorkerResources  # noqa: PLC0415  Ray Train reads its environment at import

    return WorkerResources(
        config.workers, config.gpu, config.threads, config.cpus, config.niceness, config.checkpoint_s
    )
