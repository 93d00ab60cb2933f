from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from streaming.errors import ConfigError
from training.model.viewer_tower import ViewerConfig, ViewerTower, Visits, elapsed_s, since_same_s
from training.viewer_config import MIXERS, MixerKind

B, T, D = 4, 11, 8


def config(mixer: MixerKind = "softmax", **other: object) -> ViewerConfig:
    return replace(ViewerConfig(mixer=mixer, d_item=6, d_model=D, max_visits=9), **other)  # type: ignore[arg-type]


def tower(settings: ViewerConfig) -> ViewerTower:
    """With weights that are all set, so that no feature is without effect."""
    torch.manual_seed(6)
    made = ViewerTower(settings).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return made


def visits(seed: int = 1, d_item: int = 6) -> Visits:
    generator = torch.Generator().manual_seed(seed)

    def seconds() -> torch.Tensor:
        return torch.rand(B, T, generator=generator).mul(12).exp()

    return Visits(
        item_BTD=torch.randn(B, T, d_item, generator=generator),
        mask_BT=torch.ones(B, T, dtype=torch.bool),
        action_BT=torch.randint(3, (B, T), generator=generator),
        dwell_s_BT=seconds(),
        gap_s_BT=seconds(),
        since_same_s_BT=torch.where(torch.rand(B, T, generator=generator) < 0.5, -1.0, seconds()),
        hour_BT=torch.rand(B, T, generator=generator) * 24,
    )


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_vector_knows_nothing_of_later_visits(mixer: MixerKind) -> None:
    model, given, other = tower(config(mixer)), visits(1), visits(2)
    mixed = {
        name: torch.cat((getattr(given, name)[:, :6], getattr(other, name)[:, 6:]), 1)
        for name in ("item_BTD", "mask_BT", "action_BT", "dwell_s_BT", "gap_s_BT", "since_same_s_BT", "hour_BT")
    }
    assert torch.equal(model(given)[:, :6], model(Visits(**mixed))[:, :6])
    assert not torch.isclose(model(given)[:, 6:], model(Visits(**mixed))[:, 6:]).all(-1).any()


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_last_vector_knows_how_long_ago_the_last_visit_is(mixer: MixerKind) -> None:
    model, given = tower(config(mixer)), visits()
    assert given.gap_s_BT is not None
    later_BT = given.gap_s_BT.clone()
    later_BT[:, -1] *= 5
    now_BTD, later_BTD = model(given), model(replace(given, gap_s_BT=later_BT))
    assert torch.equal(now_BTD[:, :-1], later_BTD[:, :-1])
    assert not torch.isclose(now_BTD[:, -1], later_BTD[:, -1]).all(-1).any()


@pytest.mark.parametrize("name", ["action_BT", "dwell_s_BT", "gap_s_BT", "since_same_s_BT", "hour_BT"])
def test_every_feature_counts_and_its_absence_is_named(name: str) -> None:
    model, given = tower(config()), visits()
    changed = getattr(given, name).roll(1, 0)
    absent: dict[str, Any] = {name: None}
    assert not torch.allclose(model(given), model(replace(given, **{name: changed})))
    with pytest.raises(ConfigError, match=name):
        model(replace(given, **absent))


@pytest.mark.parametrize("mixer", MIXERS)
def test_items_alone_are_enough_when_nothing_else_is_configured(mixer: MixerKind) -> None:
    model = tower(config(mixer, actions=0, timed=False, hourly=False))
    alone = Visits(visits().item_BTD, visits().mask_BT)
    assert model(alone).shape == (B, T, D)


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("side", ["before", "behind"])
def test_latest_is_the_last_real_visit_whichever_side_is_padded(mixer: MixerKind, side: str) -> None:
    model, given = tower(config(mixer)), visits()
    real, padded = (slice(3, T), slice(0, 3)) if side == "before" else (slice(0, T - 3), slice(T - 3, T))
    given.mask_BT[:, padded] = False
    names = ("item_BTD", "mask_BT", "action_BT", "dwell_s_BT", "gap_s_BT", "since_same_s_BT", "hour_BT")
    alone = Visits(**{name: getattr(given, name)[:, real] for name in names})
    torch.testing.assert_close(model.latest(given), model(alone)[:, -1], atol=1e-5, rtol=1e-5)


def test_unit_vectors_have_length_one() -> None:
    model = tower(config(unit=True))
    torch.testing.assert_close(model(visits()).norm(dim=-1), torch.ones(B, T))


def test_a_year_does_not_swallow_seconds() -> None:
    gap_s_BT = torch.tensor([[3e7, 1.0, 1.0, 5.0]])
    assert elapsed_s(gap_s_BT, torch.ones(1, 4, dtype=torch.bool)).diff(dim=1).tolist() == [[3e7, 1.0, 1.0]]


def test_since_same_counts_from_the_visit_before_to_that_streamer() -> None:
    assert since_same_s([4, 5, 4, 4], [10.0, 20.0, 50.0, 51.0]) == [-1.0, -1.0, 40.0, 1.0]


def test_tower_learns_to_repeat_what_was_visited_before_the_last() -> None:
    """A task that needs the past, not the last visit alone."""
    torch.manual_seed(1)
    items = torch.nn.Embedding(12, 16)
    model = ViewerTower(
        ViewerConfig(d_item=16, d_model=16, max_visits=8, dropout=0.0, actions=0, timed=False, hourly=False)
    )
    optimizer = torch.optim.Adam([*items.parameters(), *model.parameters()], lr=1e-2)
    item_BT = torch.randint(12, (128, 6))
    mask_BT = torch.ones_like(item_BT, dtype=torch.bool)
    for _ in range(100):
        logit_BC = model.latest(Visits(items(item_BT), mask_BT)) @ items.weight.T
        loss = torch.nn.functional.cross_entropy(logit_BC, item_BT[:, -2])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.5  # log 12 = 2.48 at random


@pytest.mark.parametrize("wrong", [{"d_item": 0}, {"blocks": 0}, {"actions": -1}, {"heads": 5}])
def test_impossible_tower_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ViewerConfig(**wrong)
