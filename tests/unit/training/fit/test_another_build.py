"""A live version of a build that computed other features: learning begins anew, and v0 alone judges what comes."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.training.inference.test_served_model import NAMES, fitted, small
from tests.unit.training.random_candidate_sets import random_candidate_sets
from training.evaluation.promotion_gate import SliceGate
from training.fit.run import cannot_go_on
from training.registry.bundle import Bundle
from training.settings import Baseline


def of_another_build(bundle: Bundle) -> Bundle:
    """It had no features but the first few."""
    manifest = msgspec.structs.replace(bundle.manifest, version="older", features=bundle.manifest.features[:-3])
    return Bundle(manifest, bundle.arrays, bundle.names)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return fitted(random_candidate_sets(300), small())


def test_learning_goes_on_from_a_version_of_this_build_and_encoder_alone(bundle: Bundle) -> None:
    ours, encoder = bundle.manifest, bundle.manifest.encoder_version
    assert cannot_go_on(ours, encoder) == ""
    assert "other/2" in cannot_go_on(ours, "other/2")
    assert ours.features[-1] in cannot_go_on(of_another_build(bundle).manifest, encoder)
    turned = msgspec.structs.replace(ours, features=ours.features[::-1])
    assert "their order" in cannot_go_on(turned, encoder)


def test_what_this_build_cannot_answer_by_does_not_keep_a_candidate_from_going_live(bundle: Bundle) -> None:
    gate = SliceGate(random_candidate_sets(200, seed=5), NAMES, Baseline())
    verdict = gate.judge(bundle, of_another_build(bundle))
    assert verdict.passed, verdict.reason
    assert "v0" in verdict.reason
    assert "older reads other features" in verdict.reason
    assert not any(name.endswith("older") for name in verdict.metrics)
    assert any(name.endswith("against_one") for name in gate.judge(bundle, bundle).metrics)
