"""Training in one process: from candidate sets to a calibrated version's bundle. Never reads files, never publishes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming.errors import TrainingError
from training.features.features import FEATURES
from training.fit.export import Origin, export_bundle, load_bundle
from training.fit.head_quality import head_metrics
from training.fit.learner import LearnConfig, Learner, LearnStep
from training.inference.co_visits import Transitions
from training.model.batches import CandidateBatch, CandidateSets, candidate_batch, training_batch
from training.model.config import HEADS, RANKED, ModelConfig
from training.model.model import Model
from training.model.ranker import knots
from training.registry.bundle import Bundle

KNOT_ROWS = 200_000  # rows that quantiles are computed from
MIN_VISITS = 50  # fewer teach nothing beyond the baseline ranker
HELD_OUT = 0.05  # of the visits, the newest: probabilities are calibrated on them
ECE_BINS = 15


@dataclass(frozen=True, slots=True)
class FitConfig:
    """Settings of a version: of its model and of learning."""

    model: ModelConfig = field(default_factory=ModelConfig)
    learn: LearnConfig = field(default_factory=LearnConfig)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration of the probabilities of entering, on visits not learned from."""

    temperature: float
    nll: float  # mean negative log likelihood of the room entered
    ece_before: float  # expected calibration error without the temperature, 0 to 1
    ece: float  # with it


def check_learnable(candidate_sets: CandidateSets) -> None:
    """Checks that a model can learn from these candidate sets.

    Raises TrainingError: there are too few visits, viewers, or rooms to choose between.
    """
    if len(candidate_sets) < MIN_VISITS:
        raise TrainingError(
            f"{len(candidate_sets)} visits to learn from; at least {MIN_VISITS} are needed: "
            "wait for more, or give more files"
        )
    viewers, streamers = len(np.unique(candidate_sets.viewer_V)), len(np.unique(candidate_sets.streamer_R))
    if viewers < 2:
        raise TrainingError("all visits are of one viewer: nothing would be learned that holds for another")
    if streamers < 2 or int(candidate_sets.size_V.max()) < 2:
        raise TrainingError("never were two rooms live at a visit: there was nothing to choose between")


def new_model(candidate_sets: CandidateSets, config: FitConfig, num_streamers: int) -> Model:
    """An untrained model for these candidate sets, the same for the same seed."""
    torch.manual_seed(config.learn.seed)
    sample_R = np.unique(np.linspace(0, len(candidate_sets.features_RF) - 1, KNOT_ROWS).astype(np.intp))
    columns = [list(FEATURES).index(name) for name in RANKED]
    larm = replace(config.model.larm, d_content=candidate_sets.contents.now_KD.shape[1])
    shape = replace(config.model, larm=larm)
    model = Model(shape, num_streamers, knots(candidate_sets.features_RF[sample_R][:, columns], shape.ranker.bins))
    model.rooms.centre_W.copy_(_centre(candidate_sets, sample_R))
    return model


def _centre(candidate_sets: CandidateSets, sample_R: NDArray[np.intp]) -> Tensor:
    """The mean content of the sampled rows [2·D], now ⊕ slow mean, over rows that have any; zeros where none has."""
    contents, means = candidate_sets.contents, []
    for table_KD, has_K, rows_R in (
        (contents.now_KD, contents.has_now_K, candidate_sets.now_R),
        (contents.mean_LD, contents.has_mean_L, candidate_sets.mean_R),
    ):
        times_K = np.bincount(rows_R[sample_R], minlength=len(table_KD)) * has_K
        used_K = np.flatnonzero(times_K)
        means.append(times_K[used_K] @ table_KD[used_K].astype(np.float32) / max(1, times_K.sum()))
    return torch.from_numpy(np.concatenate(means).astype(np.float32))


def fit_version(
    candidate_sets: CandidateSets,
    streamers: Sequence[str],
    transitions: Transitions,
    config: FitConfig,
    origin: Origin,
    *,
    parent: Bundle | None = None,
    on_step: Callable[[LearnStep, int], None] | None = None,
) -> Bundle:
    """The bundle of a version trained on candidate sets in time order. Raises TrainingError.

    parent: a version to continue from; the numbers of its codes are kept. on_step: called with each step and the
    number of steps.
    """
    check_learnable(candidate_sets)
    model = new_model(candidate_sets, config, len(streamers))
    previous = load_bundle(parent, model) if parent is not None else None
    held_out = int(len(candidate_sets) * HELD_OUT)
    learner = Learner(model, candidate_sets, config.learn, until=len(candidate_sets) - held_out, previous=previous)
    for step in learner.run():
        if on_step is not None:
            on_step(step, learner.steps)
    return finish(
        model, candidate_sets, held_out, streamers=streamers, transitions=transitions, config=config, origin=origin
    )


def finish(
    model: Model,
    candidate_sets: CandidateSets,
    held_out: int,
    *,
    streamers: Sequence[str],
    transitions: Transitions,
    config: FitConfig,
    origin: Origin,
) -> Bundle:
    """The bundle of a trained model, its probabilities calibrated on the `held_out` newest candidate sets."""
    newest = (
        np.arange(len(candidate_sets) - held_out, len(candidate_sets)) if held_out else np.arange(len(candidate_sets))
    )
    ranked = rank_all(model, candidate_sets, newest, config.learn)
    calibration = calibrate(ranked)
    metrics = {"nll": calibration.nll, "ece": calibration.ece, "ece_before": calibration.ece_before}
    metrics |= head_metrics(of_heads(ranked))
    learned_V = candidate_sets.left_V[: len(candidate_sets) - held_out]
    return export_bundle(
        model,
        config.learn,
        streamers,
        transitions,
        origin,
        leaves=bool((learned_V == 0).any() and (learned_V == 1).any()),
        temperature=calibration.temperature,
        metrics=metrics,
    )


def rank_all(
    model: Model, candidate_sets: CandidateSets, chosen: NDArray[np.intp], learn: LearnConfig
) -> list[tuple[CandidateBatch, Tensor]]:
    """The chosen candidate sets in batches, each with the model's logits [R, 4]."""
    model.eval()
    projected = model.project(candidate_sets.contents)
    ranked: list[tuple[CandidateBatch, Tensor]] = []
    with torch.no_grad():
        for part in np.array_split(chosen, max(1, len(chosen) // learn.batch)):
            if len(part):
                batch = training_batch(candidate_sets, part, learn.visits, projected)
                ranked.append((candidate_batch(candidate_sets, part), model(batch).logit_R4))
    return ranked


def of_heads(
    ranked: Sequence[tuple[CandidateBatch, Tensor]],
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Logits and outcomes [V] of the heads beside entering, by name, of the rooms entered."""
    logit_V4 = torch.cat([logit_R4[batch.target_B] for batch, logit_R4 in ranked]).numpy()
    outcomes_3V = [
        torch.cat([getattr(batch, name) for batch, _ in ranked]).numpy()
        for name in ("stay_B", "interacted_B", "left_B")
    ]
    return {
        head: (logit_V4[:, place], outcome_V)
        for place, (head, outcome_V) in enumerate(zip(HEADS[1:], outcomes_3V, strict=True), start=1)
    }


def calibrate(ranked: Sequence[tuple[CandidateBatch, Tensor]]) -> Calibration:
    """The temperature (arXiv 1706.04599) that makes the rooms entered most likely, and the error before and after.

    ranked: from `rank_all`, some hundred candidate sets or more.
    """
    sets_left = [(batch.padded(logit_R4[:, 0], float("-inf")), batch.entered_B) for batch, logit_R4 in ranked]
    num_sets = sum(len(batch) for batch, _ in ranked)

    def nll(temperature: float) -> float:
        losses = [torch.nn.functional.cross_entropy(lo / temperature, en, reduction="sum") for lo, en in sets_left]
        return float(torch.stack(losses).sum()) / num_sets

    temperature = min(np.geomspace(0.5, 2.0, 41).tolist(), key=nll)
    return Calibration(temperature, nll(temperature), _ece(sets_left, 1.0), _ece(sets_left, temperature))


def _ece(candidate_sets: Sequence[tuple[Tensor, Tensor]], temperature: float) -> float:
    """The expected calibration error over all rooms: share entered against probability, by bins of equal size."""
    probability, entered = [], []
    for logit_BN, entered_B in candidate_sets:
        probability_BN = (logit_BN / temperature).softmax(1)
        there_BN = torch.isfinite(logit_BN)
        hit_BN = torch.zeros_like(probability_BN).scatter(1, entered_B[:, None], 1.0)
        probability.append(probability_BN[there_BN])
        entered.append(hit_BN[there_BN])
    probability_R, entered_R = torch.cat(probability), torch.cat(entered)
    order_R = probability_R.argsort()
    error = 0.0
    for part in order_R.chunk(ECE_BINS):
        error += abs(float(probability_R[part].mean() - entered_R[part].mean())) * len(part) / len(order_R)
    return error
