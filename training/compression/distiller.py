"""Teaches a small language model the vectors of a large one. Never changes its size, never reads files.

Two losses: how far a text's vector is from the teacher's (1 − cosine), and how far the order of its neighbours among
the other texts of the batch is: the KL divergence between softmaxes of cosines (arXiv 1803.10837). Where only the first
dimensions are to be kept, these alone must give that order too (Matryoshka, arXiv 2205.13147). Embeddings of
words stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn

from streaming.errors import Diverged
from streaming.section import Count, CountOrZero, NotNegative, Positive, PositiveShare, Section
from training.fine_tuning.encoder_learner import layers_of
from training.fine_tuning.text_vectors import TextVectors
from training.fit.optimizer import AdamW, warmed_up


@dataclass(frozen=True, slots=True)
class DistillConfig(Section):
    """Settings of distillation. epochs: passes over the texts, each of the two times."""

    section: ClassVar[str] = "distill"

    epochs: Count = 2
    batch: Annotated[int, Meta(ge=3)] = 64  # texts a step
    rate: Positive = 2e-4
    warm_up: PositiveShare = 0.1  # of the steps, in which the rate rises; then it falls to nothing
    decay: NotNegative = 1e-2
    temperature: Positive = 0.05
    order: NotNegative = 1.0  # how much the order of neighbours counts beside the vectors
    seed: CountOrZero = 7


@dataclass(frozen=True, slots=True)
class DistillStep:
    """The result of one step."""

    step: int
    examples: int
    losses: dict[str, float]


class Distiller:
    """A teacher of the first texts that a student reads. The same texts, settings and student give the same bits."""

    def __init__(
        self,
        student: TextVectors,
        teacher_TD: NDArray[np.float16],
        config: DistillConfig,
        *,
        dimensions: int | None = None,
        pass_seed: int = 0,
    ) -> None:
        """teacher_TD: unit vectors of the student's first T texts. dimensions: that are to do without the others.

        pass_seed: another order of the texts. Only the student's layers learn from now on.
        """
        self._student, self._config, self._dimensions, self._pass_seed = student, config, dimensions, pass_seed
        self._teacher_TD = torch.from_numpy(teacher_TD.astype(np.float32)).to(student.device)
        self.step, self.steps = 0, len(teacher_TD) // config.batch * config.epochs
        student.model.requires_grad_(False)
        layers = layers_of(student.model).requires_grad_(True)
        self._optimizer = AdamW(layers.parameters(), config.decay)

    def run(self) -> Iterator[DistillStep]:
        """Learns step by step. Without dropout: the student is to give the teacher's vectors, not some like them.

        Raises Diverged: a loss is not a number.
        """
        self._student.model.eval()
        size = self._config.batch
        for epoch in range(self._config.epochs):
            rng = np.random.default_rng([self._config.seed, self._pass_seed, epoch])
            order_T = rng.permutation(len(self._teacher_TD))
            for at in range(0, len(order_T) - size + 1, size):
                yield self._learn(order_T[at : at + size])

    def _learn(self, rows_B: NDArray[np.int64]) -> DistillStep:
        losses = self.losses(self._student(rows_B.tolist()), self._teacher_TD[rows_B])
        loss = losses["vectors"] + self._config.order * sum(losses[name] for name in losses if name != "vectors")
        if not bool(loss.isfinite()):
            raise Diverged(f"the loss of step {self.step + 1} of distillation is not a number; a lower rate may help")
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step(self._config.rate * warmed_up(self.step, self.steps, self._config.warm_up))
        self._optimizer.forget_gradients()
        self.step += 1
        return DistillStep(self.step, len(rows_B), {name: float(one.detach()) for name, one in losses.items()})

    def losses(self, student_BH: Tensor, teacher_BD: Tensor) -> dict[str, Tensor]:
        """The losses of a batch: vectors, order, and first (the order by the first dimensions alone).

        The teacher may have kept its first dimensions only, D of the student's H.
        """
        student_BD = nn.functional.normalize(student_BH[:, : teacher_BD.shape[1]], dim=1)
        losses = {
            "vectors": 1 - (student_BD * teacher_BD).sum(1).mean(),
            "order": self._order(student_BD, teacher_BD),
        }
        if self._dimensions is not None:
            first_BD = nn.functional.normalize(student_BH[:, : self._dimensions], dim=1)
            losses["first"] = self._order(first_BD, teacher_BD)
        return losses

    def _order(self, student_BD: Tensor, teacher_BD: Tensor) -> Tensor:
        """The mean over texts of KL(teacher's neighbours ‖ student's)."""
        own_BB = torch.eye(len(student_BD), dtype=torch.bool, device=student_BD.device)
        student_BB, teacher_BB = (
            (one_BD @ one_BD.T / self._config.temperature).masked_fill(own_BB, -1e9).log_softmax(1)
            for one_BD in (student_BD, teacher_BD)
        )
        return nn.functional.kl_div(student_BB, teacher_BB, log_target=True, reduction="batchmean")
