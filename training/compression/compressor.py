"""Compresses a language model: distil, prune, distil again (arXiv 2502.14305). Never reads or writes a file.

Layers go first, and the student learns the whole model's vectors; then feed-forward units go, by what they do in the
student that has learned, and it learns once more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streaming.errors import ConfigError, TrainingError
from training.compression.distiller import DistillConfig, Distiller, DistillStep
from training.compression.importance import (
    drop_least_important_layers,
    most_important,
    unit_importance,
    vectors_of,
)
from training.compression.structure import Size, keep_units, size_of
from training.fine_tuning.text_vectors import TextVectors

HELD_OUT = 512  # texts that the student does not learn from, by which it is compared with the teacher
MEASURED = 512  # texts on which importance is measured
NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Likeness:
    """How near a student is to its teacher after a stage, on texts that it has not learned from.

    cosine: of both's vectors, the mean. overlap: the mean share of a text's 10 nearest that are so for both.
    """

    stage: str
    parameters: int
    cosine: float
    overlap: float


@dataclass(frozen=True, slots=True)
class Compressed:
    """What was done to a model, which is the student now. layers: those that were kept, by number."""

    layers: tuple[int, ...]
    units: int
    parameters: int
    parameters_before: int
    stages: tuple[Likeness, ...]


def check_size(whole: Size, size: Size, dimension: int, dimensions: int | None) -> None:
    """Raises ConfigError: a model cannot be brought to that size, or has it already.

    dimension: of the whole model's vectors. dimensions: as for `compress`.
    """
    for what, most, wanted in (
        ("layers", whole.layers, size.layers),
        ("feed-forward units a layer", whole.units, size.units),
        ("dimensions", dimension, dimensions or dimension),
    ):
        if wanted > most:
            raise ConfigError(f"{wanted} {what} are to be kept, and the language model has {most}; give fewer")
    if size == whole and dimensions in {None, dimension}:
        raise ConfigError(
            f"nothing to compress: the language model has {whole.layers} layers of {whole.units} feed-forward units"
        )


def least_texts(config: DistillConfig) -> int:
    """The fewest texts that a model can be compressed with: as many to learn from as are held out."""
    return 2 * HELD_OUT + config.batch


def compress(
    student: TextVectors,
    teacher_ND: NDArray[np.float16],
    size: Size,
    config: DistillConfig,
    *,
    dimensions: int | None = None,
    progress: Callable[[str, DistillStep, int], None] = lambda *_: None,
) -> Compressed:
    """Makes a student of a whole model, in place.

    student: the whole model, and N texts in random order. teacher_ND: its unit vectors of them. dimensions: the first
    so many are to do without the others. progress: is told of each step: the stage, the step, and how many there are.
    Raises ConfigError as `check_size`; TrainingError: there are too few texts, or the loss is no number.
    """
    whole, before = size_of(student.model), _parameters(student.model)
    check_size(whole, size, teacher_ND.shape[1], dimensions)
    if len(student) < least_texts(config):
        raise TrainingError(
            f"{len(student)} texts to compress the language model with; at least {least_texts(config)} are needed"
        )
    learned_from = len(student) - HELD_OUT
    measured = range(min(MEASURED, learned_from))
    judge = _Judge(student, teacher_ND, dimensions)
    stages = []

    def distil(stage: str, number: int) -> None:
        steps = Distiller(student, teacher_ND[:learned_from], config, dimensions=dimensions, pass_seed=number)
        for step in steps.run():
            progress(stage, step, steps.steps)
        stages.append(judge.likeness(stage))

    kept = drop_least_important_layers(student, whole.layers - size.layers, measured)
    if size.layers < whole.layers:
        stages.append(judge.likeness("layers dropped"))
    if size.units < whole.units:
        if size.layers < whole.layers:
            distil("distilled", 0)
        importance = unit_importance(student, measured)
        keep_units(student.model, [most_important(importance_U, size.units) for importance_U in importance])
        stages.append(judge.likeness("units dropped"))
    distil("distilled again" if len(stages) > 2 else "distilled", 1)
    return Compressed(tuple(kept), size.units, _parameters(student.model), before, tuple(stages))


class _Judge:
    """Compares a student with its teacher, on the last texts."""

    def __init__(self, student: TextVectors, teacher_ND: NDArray[np.float16], dimensions: int | None) -> None:
        self._student, self._dimensions = student, dimensions or teacher_ND.shape[1]
        self._rows = range(len(student) - HELD_OUT, len(student))
        self._teacher_ND = torch.from_numpy(teacher_ND[-HELD_OUT:].astype(np.float32))

    def likeness(self, stage: str) -> Likeness:
        """How near the student is now."""
        student_NH, teacher_ND = vectors_of(self._student, self._rows).cpu(), self._teacher_ND
        student_ND = nn.functional.normalize(student_NH[:, : teacher_ND.shape[1]], dim=1)
        kept_ND = nn.functional.normalize(student_NH[:, : self._dimensions], dim=1)
        both = zip(_nearest(kept_ND).tolist(), _nearest(teacher_ND).tolist(), strict=True)
        overlap = float(np.mean([len(set(one) & set(other)) / NEIGHBOURS for one, other in both]))
        cosine = float((student_ND * teacher_ND).sum(1).mean())
        return Likeness(stage, _parameters(self._student.model), cosine, overlap)


def _nearest(vectors_ND: Tensor) -> Tensor:
    """Each text's nearest, int64 [N, NEIGHBOURS]."""
    return (vectors_ND @ vectors_ND.T).fill_diagonal_(-torch.inf).topk(NEIGHBOURS).indices


def _parameters(model: nn.Module) -> int:
    return sum(one.numel() for one in model.parameters())
