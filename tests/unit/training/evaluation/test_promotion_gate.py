"""A candidate is judged against the baseline that serves: by the weights, label and half-life that are configured."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.settings import RecommendConfig
from deploy.config.settings import Settings
from deploy.train import run
from streaming.clock import ManualClock
from tests.unit.training.inference.test_served_model import NAMES, fitted, small
from tests.unit.training.random_candidate_sets import random_candidate_sets
from training.baseline import TERMS
from training.evaluation.logged_baseline import IN_ROOM, own_room_last, zero_scores
from training.evaluation.promotion_gate import SliceGate, ndcg
from training.features.features import COLUMN
from training.fit.runs import Runs
from training.inference.served_model import Version
from training.model.batches import CandidateSets
from training.registry.bundle import Bundle
from training.registry.manifest import V0
from training.settings import Baseline, BaselineWeights, TrainingConfig

NOTHING = BaselineWeights(**dict.fromkeys(TERMS, 0.0))
HABITS = Baseline(dataclasses.replace(NOTHING, visited=9.0))
CROWDS = Baseline(dataclasses.replace(NOTHING, trending=9.0))


@pytest.fixture(scope="module")
def candidate_sets() -> CandidateSets:
    """Visits of viewers who return."""
    return random_candidate_sets(300, seed=5)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return fitted(random_candidate_sets(60), small())


def test_what_is_no_worse_than_one_baseline_is_worse_than_another(
    candidate_sets: CandidateSets, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_crowds(_gate: SliceGate, _version: Version) -> Any:
        return zero_scores(candidate_sets, CROWDS)

    monkeypatch.setattr(SliceGate, "_scores", as_crowds)
    assert (
        ndcg(zero_scores(candidate_sets, HABITS), candidate_sets).mean()
        > ndcg(zero_scores(candidate_sets, CROWDS), candidate_sets).mean() + 0.1
    )
    assert SliceGate(candidate_sets, NAMES, CROWDS).judge(bundle, None).passed
    refused = SliceGate(candidate_sets, NAMES, HABITS).judge(bundle, None)
    assert not refused.passed
    assert V0 in refused.reason


def test_versions_that_read_different_encoders_are_not_compared(candidate_sets: CandidateSets, bundle: Bundle) -> None:
    """The visits have vectors of one encoder: in the space of another they would say nothing."""
    manifest = msgspec.structs.replace(bundle.manifest, encoder_version="another", version="live")
    verdict = SliceGate(candidate_sets, NAMES, CROWDS).judge(bundle, Bundle(manifest, bundle.arrays, bundle.names))
    assert not verdict.passed
    assert verdict.reason.startswith(f"the live version reads another, this one {bundle.manifest.encoder_version}")
    assert SliceGate(candidate_sets, NAMES, CROWDS).judge(bundle, bundle).passed


def test_the_difference_is_that_to_the_configured_baseline(candidate_sets: CandidateSets, bundle: Bundle) -> None:
    for baseline in (HABITS, CROWDS, Baseline(BaselineWeights(fresh=50.0), fresh_half_life_s=30.0)):
        metrics = SliceGate(candidate_sets, NAMES, baseline).judge(bundle, None).metrics
        expected = metrics["ndcg10_all"] - ndcg(zero_scores(candidate_sets, baseline), candidate_sets).mean()
        assert metrics[f"all_against_{V0}"] == pytest.approx(expected)


def test_a_run_is_judged_by_the_settings_of_what_serves(
    candidate_sets: CandidateSets, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FakeRunFolder:
        """The part of a run that is asked for."""

        examples = range(60)
        plan = dataclasses.make_dataclass("Plan", ["streamers"])(NAMES)

        def unseen(self) -> CandidateSets:
            return candidate_sets

    monkeypatch.setattr(run, "make_run_folder", lambda *_args, **_more: FakeRunFolder())
    monkeypatch.setattr("training.fit.ray_fit.fit_on_ray", lambda *_args: bundle)
    recommend = RecommendConfig(weights=HABITS.weights, broad_category="music", fresh_half_life_s=60.0)
    settings = Settings(recommend=recommend, training=TrainingConfig(folder=str(tmp_path), niceness=0))
    trained = run.train(settings, None, None, _Silent(), ManualClock(), runs=Runs(tmp_path, ""))  # type: ignore[arg-type]
    assert recommend.baseline == Baseline(HABITS.weights, "music", 60.0)
    metrics = trained.gate.judge(trained.bundle, None).metrics
    expected = metrics["ndcg10_all"] - ndcg(zero_scores(candidate_sets, recommend.baseline), candidate_sets).mean()
    assert metrics[f"all_against_{V0}"] == pytest.approx(expected)


def test_nobody_gains_or_loses_by_the_room_that_the_viewer_is_in(
    candidate_sets: CandidateSets, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer has that room, and so its score does not count: not the baseline's, and not the candidate's."""
    features_RF = candidate_sets.features_RF.copy()
    elsewhere_V = candidate_sets.starts() + (candidate_sets.entered_V == 0)  # another room than the one entered
    features_RF[elsewhere_V, COLUMN["own_here"]] = IN_ROOM
    sets = dataclasses.replace(candidate_sets, features_RF=features_RF)
    scores_R = zero_scores(sets, HABITS)
    assert np.isneginf(own_room_last(scores_R, sets)[elsewhere_V]).all()

    def with_own_room_first(_gate: SliceGate, _version: Version) -> Any:
        first_R = scores_R.copy()
        first_R[elsewhere_V] = 1e9
        return first_R

    monkeypatch.setattr(SliceGate, "_scores", with_own_room_first)
    metrics = SliceGate(sets, NAMES, HABITS).judge(bundle, None).metrics
    assert metrics[f"all_against_{V0}"] == 0
    assert metrics["ndcg10_all"] > ndcg(scores_R, sets).mean()


class _Silent:
    def began(self, _stage: str) -> None:
        """Nobody looks."""

    def learned(self, _said: object) -> None:
        """Nobody looks."""
