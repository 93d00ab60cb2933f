"""A feature that was never known in training has no say later, when it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tests.unit.training.inference.test_served_model import NAMES, fitted, logits_of, no_transitions, small
from tests.unit.training.random_candidate_sets import STREAMERS, random_candidate_sets
from tests.unit.training.recorded.recorded_chat import chat_of, crowd, visits_of
from training.boosting.ranker import Boosting, BoostingConfig
from training.features.features import COLUMN
from training.fit.export import Origin, load_bundle
from training.fit.local_fit import fit_version
from training.inference.served_model import Version
from training.model.batches import CandidateSets, training_batch
from training.model.model import Model
from training.recorded.recorded_visits import RecordedVisits

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
            model(training_batch(candidate_sets, np.arange(20), 6)).logit_R4 for candidate_sets in (unknown, known)
        )
    assert torch.equal(same, other)


def test_a_version_that_knew_the_audience_says_something_else_without_it() -> None:
    unknown, known = with_audience(random_candidate_sets(150), None), with_audience(random_candidate_sets(150), 1)
    version = Version(fitted(known, small()))
    same, other = logits_of(version, known, 0), logits_of(version, unknown, 0)
    assert np.isfinite(same).all()
    assert np.isfinite(other).all()
    assert np.abs(same - other).max() > 1e-3


def test_boosting_that_never_knew_the_audience_scores_the_same_whatever_it_is(tmp_path: Path) -> None:
    seen = visits_of(chat_of(crowd(4, 800), 600), tmp_path)

    def altered(visits: RecordedVisits, audience: float) -> RecordedVisits:
        features_RF = visits.sets.features_RF.copy()
        features_RF[:, AUDIENCE] = audience
        return replace(visits, sets=replace(visits.sets, features_RF=features_RF))

    boosting = Boosting(BoostingConfig(trees=10, leaves=7, min_rows_per_leaf=20, threads=1))
    boosting.learn(altered(seen.past, np.nan))
    expected_R = boosting.score(altered(seen.test, np.nan))
    np.testing.assert_array_equal(boosting.score(altered(seen.test, 70.0)), expected_R)
    assert np.ptp(expected_R) > 0


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
