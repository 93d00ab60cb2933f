"""The training loop of the model: phases, steps, losses. Never reads files, never knows of other processes.

There are three phases. First room and viewer tower learn from who entered what (and which rooms share viewers), without
codes. Then the rooms' vectors get codes and are frozen, and codes' embeddings, viewer tower and ranker learn together.
Then all but the ranker is frozen, its inputs are computed once, and it learns alone, at a fifth of the cost.
The ranker learns from all visits, the towers from the older part only: on visits that the towers have memorised their
outputs are better than they will be on others.
Every random draw follows from the seed and the step, so that a run continued from a checkpoint equals one that was
never stopped.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from streaming.errors import ConfigError, TrainingError
from streaming.section import Count, CountOrZero, NotNegative, Positive, PositiveShare, Section
from training.fit.frozen_towers import FrozenTowers
from training.fit.optimizer import AdamW
from training.model.batches import (
    LEAVE_S,
    STAY_S,
    CandidateBatch,
    CandidateSets,
    ProjectedContent,
    TrainingBatch,
    training_batch,
)
from training.model.config import HEADS
from training.model.losses import matryoshka, room_to_room, viewer_to_room
from training.model.model import Model, Scores
from training.model.semantic_codes import Codebooks, fit_codebooks, keep_numbers

COVISIT_S = 86_400.0  # two rooms that one viewer visited within a day have something in common
CODED_ROWS = 20_000  # rooms to whose vectors codes are fitted


@dataclass(frozen=True, slots=True)
class LearnConfig(Section):
    """Settings of learning. towers_epochs, epochs, ranker_epochs: passes of the phases.

    visits: the newest of a viewer's past visits that are used.
    """

    section: ClassVar[str] = "learn"

    towers_epochs: Count = 2
    epochs: Count = 2
    ranker_epochs: CountOrZero = 12
    # of the visits, the oldest: visits that the towers memorised mislead the ranker
    towers_share: PositiveShare = 0.5
    batch: Count = 512
    rate: Positive = 3e-3
    decay: NotNegative = 1e-2
    visits: Count = 20
    prefixes: tuple[int, ...] = (16, 32, 64)  # of the vectors, each trained to serve alone (Matryoshka)
    towers_weight: float = 0.3  # of the towers' loss in the second phase
    covisit_weight: float = 0.1
    heads_weight: float = 0.1  # of stay, interact and leave
    leave_s: Annotated[float, Meta(gt=0, le=STAY_S)] = LEAVE_S  # to leave within it is to leave at once
    coded: bool = True  # whether there are codes at all; without them it is an ablation
    seed: CountOrZero = 7

    def check(self) -> None:
        """Checks the settings together. Raises ConfigError."""
        if not self.prefixes:
            raise ConfigError("learn.prefixes is empty; it must hold at least one number of dimensions")


@dataclass(frozen=True, slots=True)
class LearnStep:
    """The result of one step. examples: visits of this process in the step's batch."""

    step: int
    phase: str
    examples: int
    losses: dict[str, float] = field(default_factory=dict)


class NotANumber(TrainingError):
    """An error: the loss is NaN or infinite. `batch` is the one that led to it."""

    def __init__(self, message: str, batch: CandidateBatch) -> None:
        super().__init__(message)
        self.batch = batch


class ProcessGroup(Protocol):
    """A group of processes that train one model. Each call blocks until all have made it."""

    def average_gradients(self, model: nn.Module) -> None:
        """Replaces each gradient by its average over all processes."""

    def broadcast(self, model: nn.Module) -> None:
        """Replaces parameters and buffers by those of the first process."""


def steps_per_epoch(num_visits: int, config: LearnConfig) -> int:
    """The number of steps of one process in a pass over num_visits visits; at least 1."""
    return max(1, math.ceil(num_visits / config.batch))


class Learner:
    """A trainer of the model: one process's part of a run."""

    def __init__(
        self,
        model: Model,
        candidate_sets: CandidateSets,
        config: LearnConfig,
        *,
        until: int | None = None,
        rank: int = 0,
        per_epoch: int = 0,
        group: ProcessGroup | None = None,
        previous: Codebooks | None = None,
    ) -> None:
        """until: how many of the candidate sets, from the first, are learned from. previous: codes to keep.

        rank, per_epoch, group: of this process among several that train one model, each on candidate sets of its own.
        Raises TrainingError: there is no visit to learn from.
        """
        self._num_visits = len(candidate_sets) if until is None else until
        if not self._num_visits:
            raise TrainingError("there is no visit to learn from")
        self.model, self.config = model, config
        self.step = 0
        self._candidate_sets, self._rank, self._group, self._previous = candidate_sets, rank, group, previous
        self._per_epoch = per_epoch or steps_per_epoch(self._num_visits, config)
        self._projected: ProjectedContent | None = None  # once the room tower no longer learns
        self._frozen: FrozenTowers | None = None  # once nothing but the ranker does
        self._optimizer = AdamW(model.parameters(), config.decay)

    @property
    def towers_steps(self) -> int:
        """The number of steps of the first phase."""
        return self.config.towers_epochs * self._towers_per_epoch

    @property
    def joint_steps(self) -> int:
        """The number of steps of the first two phases."""
        return self.towers_steps + self.config.epochs * self._towers_per_epoch

    @property
    def _towers_per_epoch(self) -> int:
        return max(1, math.ceil(self._per_epoch * self.config.towers_share))

    @property
    def steps(self) -> int:
        """The number of steps of the whole run."""
        return self.joint_steps + self.config.ranker_epochs * self._per_epoch

    def run(self) -> Iterator[LearnStep]:
        """Learns, a step at a time, until the end. Raises TrainingError: the loss is no longer a number."""
        while self.step < self.steps:
            if self.step >= self.towers_steps and self._projected is None:
                self._projected = self._begin_ranking()
            if self.step >= self.joint_steps and self._frozen is None:
                self._frozen = self._begin_alone()
            yield self._one()

    def state(self) -> dict[str, Any]:
        """The state that a run needs to continue, for a checkpoint."""
        return {
            "step": self.step,
            "coded": self.model.coded,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state(),
            "config": asdict(self.config),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continues from a state. Raises TrainingError: it is of another configuration."""
        if state["config"] != asdict(self.config):
            raise TrainingError("the checkpoint is of a run with another configuration; begin a new run")
        self.model.load_state_dict(state["model"])
        self._optimizer.restore(state["optimizer"])
        self.step = state["step"]
        self.model.coded = state["coded"]

    def _one(self) -> LearnStep:
        model = self.model
        torch.manual_seed(self.config.seed * 1_000_003 + self.step * 97 + self._rank)
        rate = self.config.rate * self._warmth()
        phase, batch, losses = self._ranker_alone() if self._frozen is not None else self._towers_too()
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            shown = ", ".join(f"{name} {float(loss.detach()):.3g}" for name, loss in losses.items())
            raise NotANumber(
                f"the loss of step {self.step} is not a number ({shown}); is the rate, {self.config.rate}, too high?",
                batch,
            )
        self._optimizer.forget_gradients()
        total.backward()  # type: ignore[no-untyped-call]
        if self._group is not None:
            self._group.average_gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        self._optimizer.step(rate)
        self.step += 1
        return LearnStep(self.step, phase, len(batch), {name: float(loss.detach()) for name, loss in losses.items()})

    def _towers_too(self) -> tuple[str, TrainingBatch, dict[str, Tensor]]:
        model, config, towers = self.model, self.config, self.step < self.towers_steps
        batch = training_batch(self._candidate_sets, self._chosen(), config.visits, self._projected)
        model.train()
        if not towers:
            model.rooms.eval()
        scores = model(batch, towers_alone=towers)
        loss = self._towers_loss(scores, batch)
        if towers:
            return "towers", batch, {"towers": loss, "covisits": config.covisit_weight * self._covisits(scores, batch)}
        return "joint", batch, {**self._ranker_losses(scores.logit_R4, batch), "towers": config.towers_weight * loss}

    def _ranker_alone(self) -> tuple[str, CandidateBatch, dict[str, Tensor]]:
        if self._frozen is None:
            raise AssertionError("the towers' frozen outputs come first")
        self.model.ranker.train()
        rng = np.random.default_rng((self.config.seed, self.step, self._rank, 1))
        choices, extra_RX = self._frozen.choices(self._chosen(), self.model.config.larm.id_dropout, rng)
        logit_R4 = self.model.rank(choices.features_RF, extra_RX)
        return "ranker", choices, self._ranker_losses(logit_R4, choices)

    def _ranker_losses(self, logit_R4: Tensor, choices: CandidateBatch) -> dict[str, Tensor]:
        enter = viewer_to_room(
            choices.padded(logit_R4[:, 0], 0.0),
            choices.entered_B,
            mask_BN=choices.padded(torch.ones_like(logit_R4[:, 0]), 0.0) > 0,
            log_q_BN=choices.padded(choices.log_q_R, 0.0),
            shown_BN=choices.padded(choices.shown_R.float(), 0.0) > 0,
        )
        outcomes = (choices.stay_B, choices.interacted_B, choices.left_B)
        heads = {
            head: self.config.heads_weight * _outcome_loss(logit_R4[choices.target_B, place], outcome_B)
            for place, (head, outcome_B) in enumerate(zip(HEADS[1:], outcomes, strict=True), start=1)
        }
        return {"enter": enter, **heads}

    def _towers_loss(self, scores: Scores, batch: TrainingBatch) -> Tensor:
        mask_BN = batch.padded(torch.ones_like(scores.tower_R), 0.0) > 0
        log_q_BN = batch.padded(batch.log_q_R, 0.0)
        shown_BN = batch.padded(batch.shown_R.float(), 0.0) > 0
        sharpness = torch.exp(self.model.sharpness)

        def loss(viewer_RE: Tensor, room_RE: Tensor) -> Tensor:
            logit_R = (viewer_RE * room_RE).sum(-1) * sharpness + scores.beside_R
            return viewer_to_room(
                batch.padded(logit_R, 0.0), batch.entered_B, mask_BN=mask_BN, log_q_BN=log_q_BN, shown_BN=shown_BN
            )

        prefixes = [dim for dim in self.config.prefixes if dim <= scores.vector_RE.shape[1]]
        return matryoshka(scores.viewer_BE[batch.seg_R], scores.vector_RE, prefixes, loss, unit=False)

    def _covisits(self, scores: Scores, batch: TrainingBatch) -> Tensor:
        """The co-visit loss: over rooms entered and rooms of other streamers entered before within COVISIT_S."""
        target_B = batch.target_B
        streamer_B, before_B = batch.streamer_R[target_B], batch.past_streamer_BT[:, -1]
        pair_B = batch.past_mask_BT[:, -1] & (batch.past_gap_s_BT[:, -1] < COVISIT_S) & (streamer_B != before_B)
        if int(pair_B.sum()) < 2:
            return scores.tower_R.sum() * 0
        left_PE, right_PE = scores.before_BE[pair_B], scores.vector_RE[target_B][pair_B]
        logit_PP = left_PE @ right_PE.T * torch.exp(self.model.sharpness)
        return room_to_room(logit_PP, before_B[pair_B], streamer_B[pair_B])

    def _chosen(self) -> NDArray[np.intp]:
        begin, per_epoch, num_visits = self.joint_steps, self._per_epoch, self._num_visits
        if self.step < begin:
            begin, per_epoch = 0, self._towers_per_epoch
            num_visits = max(1, math.ceil(num_visits * self.config.towers_share))
        epoch, place = divmod(self.step - begin, per_epoch)
        order_V = np.random.default_rng((self.config.seed, begin, epoch, self._rank)).permutation(num_visits)
        chosen = np.arange(place * self.config.batch, (place + 1) * self.config.batch)
        if chosen[-1] >= len(order_V):
            whole = chosen[chosen < len(order_V)]  # another process has more visits: this one starts over
            chosen = whole if len(whole) else chosen % len(order_V)
        return order_V[chosen]

    def _warmth(self) -> float:
        """The learning rate's factor: up over the first tenth of a phase, then down along a cosine."""
        ends = [0, self.towers_steps, self.joint_steps, self.steps]
        phase = bisect_right(ends, self.step)
        begin, end = ends[phase - 1], ends[phase]
        done = (self.step - begin + 1) / (end - begin + 1)
        return min(1.0, done / 0.1) * 0.5 * (1 + math.cos(math.pi * done))

    def _begin_ranking(self) -> ProjectedContent:
        """Freezes the room tower and gives its vectors codes, the same in every process."""
        model = self.model
        model.rooms.eval()
        model.rooms.requires_grad_(False)
        projected = model.project(self._candidate_sets.contents)
        if model.coded or not self.config.coded:
            return projected
        vectors_NE = self.room_vectors(projected)
        books = fit_codebooks(vectors_NE, model.config.codes)
        if self._previous is not None:
            books = keep_numbers(books, vectors_NE, self._previous.assign(vectors_NE))
        model.set_codes(books)
        if self._group is not None:
            self._group.broadcast(model)
        return projected

    def _begin_alone(self) -> FrozenTowers:
        """Freezes towers and codes, and computes the ranker's inputs."""
        model = self.model
        model.eval()
        model.requires_grad_(False)
        model.ranker.requires_grad_(True)
        return FrozenTowers(model, self._candidate_sets, self.config.batch, self.config.visits, self._projected)

    def room_vectors(self, projected: ProjectedContent) -> NDArray[np.float32]:
        """Room embeddings [N, E] to fit codes to: of now, then of the slow mean, of at most CODED_ROWS rows each."""
        candidate_sets = self._candidate_sets
        row_N = np.unique(np.linspace(0, len(candidate_sets.streamer_R) - 1, CODED_ROWS).astype(np.intp))
        now_N, mean_N = candidate_sets.now_R[row_N], candidate_sets.mean_R[row_N]
        has_N1 = torch.from_numpy(
            (candidate_sets.contents.has_now_K[now_N] | candidate_sets.contents.has_mean_L[mean_N])[:, None]
        )
        streamer_N = torch.from_numpy(candidate_sets.streamer_R[row_N].astype(np.int64))
        with torch.no_grad():
            parts = [
                self.model.rooms.fuse(torch.from_numpy(both_NE), has_N1, streamer_N).vector_NE
                for both_NE in (projected.now_KE[now_N] + projected.mean_LE[mean_N], projected.static_LE[mean_N])
            ]
        return torch.cat(parts).numpy()


def _outcome_loss(logit_B: Tensor, outcome_B: Tensor) -> Tensor:
    """The mean loss of a head over the visits whose outcome is known: 1 or 0, and not NaN. 0 where none is."""
    known_B = torch.isfinite(outcome_B)
    if not known_B.any():
        return 0 * logit_B.sum()
    return binary_cross_entropy_with_logits(logit_B[known_B], outcome_B[known_B])
