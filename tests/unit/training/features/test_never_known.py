"""A feature that was never known in training has no say later, when it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tests.unit.training.inference.test_served_model import NAMES, fitted, logits_of, no_transitions, small
from tests.unit.training.random_candidate_sets import STREAMERS, random_candidate_sets
from tests.unit.training.recorded.recorded_chat import chat_of, crowd
from training.boosting.ranker import Boosting, BoostingConfig
from training.features.features import COLUMN
from training.features.visit_kinds import VisitKind
from training.fit.export import Origin, load_bundle
from training.fit.local_fit import fit_version
from training.inference.served_model import Version
from training.model.batches import CandidateSets, training_batch
from training.model.model import Model
from training.recorded.replay_state import Moment, moments
from training.recorded.visits import kinds

ORIGIN = Origin("two", "encoder/1", 2, 3)
AUDIENCE = [COLUMN["audience"], COLUMN["audience_rank"]]


def with_audience(candidate_sets: CandidateSets, seed: int | None) -> CandidateSets:
    """seed: None for unknown."""
    features_RF = candidate_sets.features_RF.copy()
    features_RF[:, AUDIENCE] = np.nan
    if seed is not None:
        features_RF[:, AUDIENCE] = np.random.default_rng(seed).gamma(1.0, 100.0, (len(features_RF), 2))
        features_RF[::3, AUDIENCE] = np.nan
    return replace(candidate_sets, features_RF=features_RF)


def test_a_version_that_never_knew_the_audience_says_the_same_whatever_it_is() -> None:
    unknown, known, config = (
        with_audience(random_candidate_sets(150), None),
        with_audience(random_candidate_sets(150), 1),
        small(),
    )
    bundle = fitted(unknown, config)
    version = Version(bundle)
    for chosen in range(20):
        expected_N3 = logits_of(version, unknown, chosen)
        assert np.isfinite(expected_N3).all()
        np.testing.assert_allclose(logits_of(version, known, chosen), expected_N3, atol=1e-5)
    larm = replace(config.model.larm, d_content=bundle.manifest.d_content)
    model = Model(replace(config.model, larm=larm), STREAMERS, bundle.arrays["ranker.knots_FQ"])
    load_bundle(bundle, model)
    model.coded = True
    model.eval()
    with torch.no_grad():
        same, other = (
            model(training_batch(candidate_sets, np.arange(20), 6)).logit_R3 for candidate_sets in (unknown, known)
        )
    assert torch.equal(same, other)


def test_a_version_that_knew_the_audience_says_something_else_without_it() -> None:
    unknown, known = with_audience(random_candidate_sets(150), None), with_audience(random_candidate_sets(150), 1)
    version = Version(fitted(known, small()))
    same, other = logits_of(version, known, 0), logits_of(version, unknown, 0)
    assert np.isfinite(same).all()
    assert np.isfinite(other).all()
    assert np.abs(same - other).max() > 1e-3


def test_boosting_that_never_knew_the_audience_scores_the_same_whatever_it_is() -> None:
    chat = chat_of(crowd(4, 800), 600)
    kind_M = kinds(chat)
    seen = list(moments(chat, kind_M, kind_M != VisitKind.NO_VISIT))

    def altered(moment: Moment, audience: float) -> Moment:
        features_NF = moment.features_NF.copy()
        features_NF[:, AUDIENCE] = audience
        return replace(moment, features_NF=features_NF)

    boosting = Boosting(BoostingConfig(trees=10, leaves=7, min_rows_per_leaf=20, threads=1))
    boosting.learn([altered(moment, np.nan) for moment in seen])
    for moment in seen[-20:]:
        expected_N = boosting.score(altered(moment, np.nan))
        np.testing.assert_array_equal(boosting.score(altered(moment, 70.0)), expected_N)
    assert np.ptp(expected_N) > 0


def test_a_version_that_goes_on_from_one_that_never_knew_the_audience_begins_to_know_it() -> None:
    unknown, known, config = (
        with_audience(random_candidate_sets(150), None),
        with_audience(random_candidate_sets(150), 1),
        small(),
    )
    parent = fitted(unknown, config)
    refreshed = fit_version(known, NAMES, no_transitions(), config, ORIGIN, parent=parent)
    version = Version(refreshed)
    same, other = logits_of(version, known, 0), logits_of(version, unknown, 0)
    assert np.abs(same - other).max() > 1e-5
