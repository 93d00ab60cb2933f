from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from streaming.errors import ConfigError
from training.model.dropout import Dropout
from training.model.recurrence import recur
from training.model.sequence_mixers import Hstu, Lru, Softmax, build_mixer
from training.viewer_config import MIXERS, MixerConfig, MixerKind

B, T, D = 3, 17, 16


def block(kind: MixerKind, *, timed: bool = True) -> Softmax | Hstu | Lru:
    """With weights that are all set, so that no part of it is without effect."""
    torch.manual_seed(5)
    made = build_mixer(kind, MixerConfig(d_model=D, heads=2, max_visits=12, dropout=0.1, timed=timed)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


def inputs(seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x_BTD = torch.randn(B, T, D, generator=generator)
    at_s_BT = torch.rand(B, T, generator=generator, dtype=torch.float64).mul(9).exp().cumsum(1)
    return x_BTD, torch.ones(B, T, dtype=torch.bool), at_s_BT


@pytest.mark.parametrize("kind", MIXERS)
def test_later_input_changes_no_earlier_output(kind: MixerKind) -> None:
    mixer, (x_BTD, mask_BT, at_s_BT) = block(kind), inputs()
    before_BTD = mixer(x_BTD, mask_BT, at_s_BT)
    x_BTD[:, 9:] *= -1.0
    at_s_BT[:, 9:] += 1e5
    after_BTD = mixer(x_BTD, mask_BT, at_s_BT)
    assert torch.equal(before_BTD[:, :9], after_BTD[:, :9])
    assert not torch.isclose(before_BTD[:, 9:], after_BTD[:, 9:]).any(-1).all()


@pytest.mark.parametrize("kind", MIXERS)
def test_earlier_input_changes_every_later_output(kind: MixerKind) -> None:
    mixer, (x_BTD, mask_BT, at_s_BT) = block(kind), inputs()
    before_BTD = mixer(x_BTD, mask_BT, at_s_BT)
    x_BTD[:, 0] *= -1.0  # adding a number to all of it would not pass the normalisation
    assert ((mixer(x_BTD, mask_BT, at_s_BT) - before_BTD).abs().amax(-1) > 1e-5).all()


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("kind", MIXERS)
def test_cached_steps_equal_the_full_pass(kind: MixerKind, timed: bool) -> None:
    mixer, (x_BTD, mask_BT, at_s_BT) = block(kind, timed=timed), inputs()
    full_BTD = mixer(x_BTD, mask_BT, at_s_BT)
    cache = mixer.start(B)
    for t in range(T):
        y_BD, cache = mixer.step(x_BTD[:, t], cache, at_s_BT[:, t])
        torch.testing.assert_close(y_BD, full_BTD[:, t], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", MIXERS)
def test_step_leaves_the_cache_it_was_given(kind: MixerKind) -> None:
    mixer, (x_BTD, _, _) = block(kind), inputs()
    _, cache = mixer.step(x_BTD[:, 0], mixer.start(B))
    once_BD, _ = mixer.step(x_BTD[:, 1], cache)
    again_BD, _ = mixer.step(x_BTD[:, 1], cache)
    assert torch.equal(once_BD, again_BD)


@pytest.mark.parametrize("side", ["before", "behind"])
@pytest.mark.parametrize("kind", MIXERS)
def test_padding_on_either_side_does_not_leak(kind: MixerKind, side: str) -> None:
    mixer, (x_BTD, mask_BT, at_s_BT) = block(kind), inputs()
    padded, real = (slice(0, 5), slice(5, T)) if side == "before" else (slice(T - 5, T), slice(0, T - 5))
    mask_BT[:, padded] = False
    outputs = []
    for filler in (0.0, 1e3):
        x_BTD[:, padded] = filler
        outputs.append(mixer(x_BTD, mask_BT, at_s_BT))
    alone_BTD = mixer(x_BTD[:, real], mask_BT[:, real], at_s_BT[:, real])
    for padded_BTD in outputs:
        assert padded_BTD.isfinite().all()
        torch.testing.assert_close(padded_BTD[:, real], alone_BTD, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["softmax", "hstu"])
def test_time_between_visits_changes_what_attention_finds(kind: MixerKind) -> None:
    mixer, (x_BTD, mask_BT, at_s_BT) = block(kind), inputs()
    assert not torch.allclose(mixer(x_BTD, mask_BT, at_s_BT), mixer(x_BTD, mask_BT, at_s_BT * 50))


def test_recurrence_equals_its_definition_and_has_the_right_gradient() -> None:
    generator = torch.Generator().manual_seed(2)
    lambda_D = torch.polar(torch.tensor([0.9, 0.5, 0.99]), torch.tensor([0.1, 2.0, 3.0])).to(torch.complex128)
    x_BTD = torch.randn(2, 6, 3, dtype=torch.complex128, generator=generator)
    state_BD, expected = torch.zeros(2, 3, dtype=torch.complex128), []
    for t in range(6):
        state_BD = lambda_D * state_BD + x_BTD[:, t]
        expected.append(state_BD)
    torch.testing.assert_close(recur(lambda_D, x_BTD), torch.stack(expected, 1))
    assert torch.autograd.gradcheck(recur, (lambda_D.requires_grad_(), x_BTD.requires_grad_()))


def test_dropout_drops_its_share_keeps_the_mean_and_rests_outside_training() -> None:
    torch.manual_seed(3)
    x = torch.ones(200_001)
    dropout = Dropout(0.25)
    dropped = dropout(x)
    assert dropped.eq(0).float().mean().item() == pytest.approx(0.25, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    assert dropout.eval()(x) is x


@pytest.mark.parametrize("wrong", [{"d_model": 0}, {"heads": 3}, {"dropout": 1.0}, {"ffn": 0}, {"max_visits": 0}])
def test_impossible_block_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"mixer.({next(iter(wrong))}|d_model)"):
        MixerConfig(**wrong)


def test_unknown_mixer_is_refused_with_the_known_names() -> None:
    with pytest.raises(ConfigError, match="softmax, hstu, lru"):
        build_mixer("mamba", MixerConfig())  # type: ignore[arg-type]
