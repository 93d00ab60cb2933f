"""How well the head for leaving learns, what it is measured by, and that there is none where nothing was learned."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.training.inference.test_served_model import fitted, small
from tests.unit.training.random_candidate_sets import random_candidate_sets
from training.features.features import COLUMN
from training.fit.head_quality import auc, auc_interval, head_metrics, head_quality
from training.fit.run import fit_config
from training.model.batches import CandidateSets
from training.model.config import HEAD_ARRAYS
from training.settings import TrainingConfig


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def with_left(left_V: NDArray[np.floating] | float, num: int = 900) -> CandidateSets:
    candidate_sets = random_candidate_sets(num)
    return dataclasses.replace(candidate_sets, left_V=np.broadcast_to(np.float32(left_V), num).copy())


def left_where_nobody_was() -> CandidateSets:
    """Whoever enters a room of a streamer new to them leaves at once, but every fifth time nobody knows."""
    candidate_sets = random_candidate_sets(900)
    own_V = candidate_sets.features_RF[candidate_sets.starts() + candidate_sets.entered_V, COLUMN["own_visits"]]
    left_V = np.where(np.arange(900) % 5 == 0, np.nan, own_V == 0)
    return dataclasses.replace(candidate_sets, left_V=left_V.astype(np.float32))


def test_who_leaves_at_once_is_learned_and_measured_on_visits_not_learned_from() -> None:
    config = small()
    config = dataclasses.replace(config, learn=dataclasses.replace(config.learn, ranker_epochs=12))
    metrics = fitted(left_where_nobody_was(), config).manifest.metrics
    assert metrics["leave_auc"] > 0.9
    assert 0 < metrics["leave_share"] < 1
    assert metrics["leave_ece"] < 0.2
    assert {"stay_auc", "stay_ece", "stay_share", "interact_auc", "interact_ece", "interact_share"} <= {*metrics}


@pytest.mark.parametrize("left", [np.nan, 0.0, 1.0])
def test_a_version_that_has_seen_nobody_leave_or_nobody_stay_has_no_such_head(left: float) -> None:
    bundle = fitted(with_left(left, 80), small())
    assert not any(f"{name}.leave" in bundle.arrays for name in HEAD_ARRAYS)
    assert "leave_auc" not in bundle.manifest.metrics
    learned = fitted(random_candidate_sets(80), small())
    assert all(f"{name}.leave" in learned.arrays for name in HEAD_ARRAYS)


def test_visits_of_which_nobody_knows_teach_nothing() -> None:
    """Their outcome is no 0: all else is as if they had not been there."""
    half_V = np.where(np.arange(80) % 2 == 0, 1.0, np.nan)
    half_V[2] = 0.0  # both outcomes, so that there is a head
    bundle = fitted(with_left(half_V, 80), small())
    assert float(bundle.arrays["ranker.heads.bias.leave"][0]) > 0  # nearly all that are known left


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(5)
    logit_K, had_K = rng.integers(0, 6, 60).astype(np.float64), rng.random(60) < 0.4  # with ties
    pairs = [(one > other) + 0.5 * (one == other) for one, other in product(logit_K[had_K], logit_K[~had_K])]
    assert auc(logit_K, had_K) == pytest.approx(np.mean(pairs))


def test_calibration_compares_probabilities_with_shares() -> None:
    outcome_V = np.array([1, 0, 0, 0] * 150 + [np.nan] * 10)
    right = head_quality(np.full(610, np.log(0.25 / 0.75)), outcome_V)
    sure = head_quality(np.full(610, 5.0), outcome_V)
    assert right is not None
    assert sure is not None
    assert (right.auc, right.share) == (0.5, 0.25)
    assert right.ece < 0.02
    assert sure.ece == pytest.approx(0.75, abs=0.02)
    assert head_quality(np.ones(3), np.array([1, np.nan, 1])) is None
    assert set(head_metrics({"leave": (np.zeros(610), outcome_V), "stay": (np.ones(3), np.ones(3))})) == {
        "leave_auc", "leave_ece", "leave_share",
    }  # fmt: skip


def test_the_interval_is_of_viewers_not_of_visits() -> None:
    rng = np.random.default_rng(5)
    viewer_U = rng.normal(size=40)
    logit_K, had_K = np.repeat(viewer_U, 25), np.repeat(viewer_U + rng.normal(size=40) > 0, 25)
    viewer_K = np.repeat(np.arange(40), 25)
    low, high = auc_interval(logit_K, had_K, viewer_K, 1)
    assert low < auc(logit_K, had_K) < high
    alone_low, alone_high = auc_interval(logit_K, had_K, np.arange(1_000), 1)
    assert high - low > 2 * (alone_high - alone_low)


def test_the_setting_of_the_configuration_is_learned_with() -> None:
    assert fit_config(TrainingConfig(leave_s=4.0), 8, 100).learn.leave_s == 4.0
    assert fit_config(TrainingConfig(), 8, 100).learn.leave_s == 10.0
