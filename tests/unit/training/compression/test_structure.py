"""What is taken out of a language model is gone, everything else stays, and what cannot be taken out is said."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import BertModel, Qwen2Config, Qwen2Model

from streaming.errors import ConfigError
from tests.unit.training.compression.small_models import HIDDEN, UNITS, read_by, small_model
from training.compression.importance import vectors_of
from training.compression.structure import Size, drop_layer, keep_units, size_at, size_of, without_layer
from training.fine_tuning.encoder_learner import layers_of


def test_a_dropped_layer_is_gone_and_the_others_follow_each_other() -> None:
    model = small_model()
    others = [layer for place, layer in enumerate(layers_of(model)) if place != 1]
    drop_layer(model, 1)
    assert list(layers_of(model)) == others
    assert size_of(model) == Size(3, UNITS)


def test_a_layer_is_away_only_as_long_as_it_is_measured() -> None:
    model, dropped = small_model(), small_model()
    drop_layer(dropped, 1)
    before = list(layers_of(model))
    whole = vectors_of(read_by(model, 5), range(5))
    with pytest.raises(KeyError), without_layer(model, 1):
        assert torch.equal(vectors_of(read_by(model, 5), range(5)), vectors_of(read_by(dropped, 5), range(5)))
        raise KeyError
    assert list(layers_of(model)) == before
    assert torch.equal(vectors_of(read_by(model, 5), range(5)), whole)


def test_units_that_do_nothing_can_go_without_a_trace() -> None:
    model = small_model()
    kept = [torch.tensor([place for place in range(UNITS) if place % 3 != layer % 3]) for layer in range(4)]
    with torch.no_grad():
        for layer, kept_U in zip(layers_of(model), kept, strict=True):
            layer.output.dense.weight[:, [place for place in range(UNITS) if place not in kept_U]] = 0
    before = vectors_of(read_by(model, 20), range(20))
    keep_units(model, kept)
    assert size_of(model) == Size(4, len(kept[0]))
    torch.testing.assert_close(vectors_of(read_by(model, 20), range(20)), before)


def test_a_smaller_model_is_read_again_as_it_was_written(tmp_path: object) -> None:
    model = small_model()
    drop_layer(model, 2)
    keep_units(model, [torch.arange(10 + layer, 20 + layer) for layer in range(3)])
    model.save_pretrained(tmp_path)
    again = BertModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    assert size_of(again) == Size(3, 10)
    assert torch.equal(vectors_of(read_by(again, 5), range(5)), vectors_of(read_by(model, 5), range(5)))


@pytest.mark.parametrize(
    ("whole", "small", "fast"),
    [
        (Size(6, 1536), Size(4, 1152), Size(2, 768)),
        (Size(12, 1536), Size(8, 1152), Size(4, 768)),
        (Size(1, 1), Size(1, 1), Size(1, 1)),
    ],
)
def test_points_are_shares_of_the_whole(whole: Size, small: Size, fast: Size) -> None:
    assert (size_at("small", whole), size_at("fast", whole)) == (small, fast)


def test_networks_with_a_gate_and_models_without_layers_are_refused() -> None:
    gated = Qwen2Model(
        Qwen2Config(
            vocab_size=10,
            hidden_size=HIDDEN,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=UNITS,
        )
    )
    with pytest.raises(ConfigError, match=r"Qwen2Model.* cannot be compressed"):
        size_of(gated)
    flat = nn.Linear(2, 2)
    flat.config = gated.config
    with pytest.raises(ConfigError, match="Linear"):
        size_of(flat)
