"""A viewer's vector is the viewer's own, whoever else is in the batch, and a stranger's is the stranger's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.training.inference.test_served_model import small
from tests.unit.training.random_slates import STREAMERS, random_slates
from training.fit.local_fit import new_model
from training.model.batches import Slates, batch_of
from training.model.model import LENGTHS, Model

VISITS = LENGTHS[-1] + 4


def vectors(model: Model, slates: Slates, chosen: list[int]) -> torch.Tensor:
    batch = batch_of(slates, np.array(chosen), VISITS)
    with torch.no_grad():
        return model.viewer(batch, model.past(batch))


def model_of(slates: Slates) -> Model:
    model = new_model(slates, small(), STREAMERS)
    model.eval()
    return model


def test_pasts_of_any_length_come_to_the_same_alone_and_together() -> None:
    slates = random_slates(80, visits=VISITS)
    model = model_of(slates)
    assert {*slates.pasts.length_V.tolist()} == {*range(VISITS + 1)}
    together_BE = vectors(model, slates, [*range(80)])
    for place in range(80):
        torch.testing.assert_close(together_BE[place], vectors(model, slates, [place])[0], rtol=1e-4, atol=1e-5)


def test_viewers_without_a_past_are_strangers_and_teach_the_tower_nothing() -> None:
    slates = random_slates(80, visits=VISITS)
    model = model_of(slates)
    strangers = np.flatnonzero(slates.pasts.length_V == 0).tolist()
    assert torch.equal(vectors(model, slates, strangers), model.stranger_E.expand(len(strangers), -1))
    batch = batch_of(slates, np.array(strangers), VISITS)
    model.viewer(batch, model.past(batch)).sum().backward()
    assert model.stranger_E.grad is not None
    assert all(one.grad is None for one in model.viewers.parameters())


@pytest.mark.parametrize("length", [*LENGTHS, VISITS])
def test_every_length_of_past_teaches_the_tower(length: int) -> None:
    slates = random_slates(80, visits=VISITS)
    model = model_of(slates)
    batch = batch_of(slates, np.flatnonzero(slates.pasts.length_V == length)[:1], VISITS)
    model.viewer(batch, model.past(batch)).square().sum().backward()
    assert model.viewers.norm.weight.grad is not None
    assert model.viewers.norm.weight.grad.abs().sum() > 0
    assert model.stranger_E.grad is not None
    assert not model.stranger_E.grad.any()
