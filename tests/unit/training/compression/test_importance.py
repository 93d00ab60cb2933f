"""What matters least is found: a layer that hardly does anything, a unit that is never on or leads nowhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.unit.training.compression.small_models import UNITS, read_by, small_model, tokens
from training.compression.importance import drop_least_important_layers, most_important, unit_importance
from training.fine_tuning.encoder_learner import layers_of
from training.fine_tuning.text_vectors import TextVectors


def quieten(layer: nn.Module, by: float) -> None:
    """Makes a layer change a state by little: both of its products back to it."""
    with torch.no_grad():
        for product in (layer.attention.output.dense, layer.output.dense):
            product.weight *= by
            product.bias *= by


@pytest.mark.parametrize("quiet", [(0, 2), (3, 1), (2, 3)])
def test_the_layers_that_change_least_are_dropped(quiet: tuple[int, int]) -> None:
    model = small_model()
    quieten(layers_of(model)[quiet[0]], 0.01)
    quieten(layers_of(model)[quiet[1]], 0.1)
    rest = [place for place in range(4) if place not in quiet]
    loud = [layers_of(model)[place] for place in rest]
    assert drop_least_important_layers(read_by(model, 30), 2, range(30)) == rest
    assert list(layers_of(model)) == loud


def test_no_layer_is_dropped_where_none_is_to_go() -> None:
    model = small_model()
    assert drop_least_important_layers(read_by(model, 3), 0, range(3)) == [0, 1, 2, 3]
    assert len(layers_of(model)) == 4


def test_units_count_by_what_they_add() -> None:
    """Unit 3 is never on, 5 leads nowhere, 7 is loud and 9 has much weight."""
    model = small_model(layers=2)
    network = layers_of(model)[1]
    with torch.no_grad():
        network.intermediate.dense.weight[3], network.intermediate.dense.bias[3] = 0.0, -50.0
        network.output.dense.weight[:, 5] = 0.0
        network.intermediate.dense.weight[7], network.intermediate.dense.bias[7] = 0.0, 50.0
        network.output.dense.weight[:, 9] *= 100
    importance = unit_importance(read_by(model, 100), range(100))
    assert [len(one) for one in importance] == [UNITS, UNITS]
    order = importance[1].argsort().tolist()
    assert set(order[:2]) == {3, 5}
    assert set(order[-2:]) == {7, 9}
    assert not {3, 5} <= set(importance[0].argsort()[:2].tolist())


def test_importance_is_the_mean_over_tokens_and_not_over_padding() -> None:
    """One long text among short ones pads them; alone they are not padded."""
    model, texts = small_model(layers=1), [[5, 6], [7, 8], list(range(1, 13))]
    together = unit_importance(TextVectors(model, texts), range(3))[0]
    alone = [unit_importance(TextVectors(model, [text]), range(1))[0] * len(text) for text in texts]
    torch.testing.assert_close(together, sum(alone) / 16)


def test_measuring_leaves_no_hook() -> None:
    model = small_model()
    unit_importance(TextVectors(model, tokens(3)), range(3))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_greatest_are_kept_in_their_order() -> None:
    assert most_important(torch.tensor([2.0, 9.0, 1.0, 9.0, 5.0, 2.0]), 4).tolist() == [0, 1, 3, 4]
