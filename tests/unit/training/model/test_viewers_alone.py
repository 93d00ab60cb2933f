"""A viewer's vector does not depend on who else is in the batch; all cold-start viewers have one learned vector."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.training.inference.test_served_model import small
from tests.unit.training.random_candidate_sets import STREAMERS, random_candidate_sets
from training.fit.local_fit import new_model
from training.model.batches import CandidateSets, training_batch
from training.model.model import LENGTHS, Model

VISITS = LENGTHS[-1] + 4


def vectors(model: Model, candidate_sets: CandidateSets, chosen: list[int]) -> torch.Tensor:
    batch = training_batch(candidate_sets, np.array(chosen), VISITS)
    with torch.no_grad():
        return model.viewer(batch, model.past(batch))


def model_of(candidate_sets: CandidateSets) -> Model:
    model = new_model(candidate_sets, small(), STREAMERS)
    model.eval()
    return model


def test_pasts_of_any_length_come_to_the_same_alone_and_together() -> None:
    candidate_sets = random_candidate_sets(80, visits=VISITS)
    model = model_of(candidate_sets)
    assert {*candidate_sets.pasts.length_V.tolist()} == {*range(VISITS + 1)}
    together_BE = vectors(model, candidate_sets, [*range(80)])
    for place in range(80):
        torch.testing.assert_close(together_BE[place], vectors(model, candidate_sets, [place])[0], rtol=1e-4, atol=1e-5)


def test_viewers_without_a_past_are_strangers_and_teach_the_tower_nothing() -> None:
    candidate_sets = random_candidate_sets(80, visits=VISITS)
    model = model_of(candidate_sets)
    strangers = np.flatnonzero(candidate_sets.pasts.length_V == 0).tolist()
    assert torch.equal(vectors(model, candidate_sets, strangers), model.stranger_E.expand(len(strangers), -1))
    batch = training_batch(candidate_sets, np.array(strangers), VISITS)
    model.viewer(batch, model.past(batch)).sum().backward()
    assert model.stranger_E.grad is not None
    assert all(one.grad is None for one in model.viewers.parameters())


@pytest.mark.parametrize("length", [*LENGTHS, VISITS])
def test_every_length_of_past_teaches_the_tower(length: int) -> None:
    candidate_sets = random_candidate_sets(80, visits=VISITS)
    model = model_of(candidate_sets)
    batch = training_batch(candidate_sets, np.flatnonzero(candidate_sets.pasts.length_V == length)[:1], VISITS)
    model.viewer(batch, model.past(batch)).square().sum().backward()
    assert model.viewers.norm.weight.grad is not None
    assert model.viewers.norm.weight.grad.abs().sum() > 0
    assert model.stranger_E.grad is not None
    assert not model.stranger_E.grad.any()
