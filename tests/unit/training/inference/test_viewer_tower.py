from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from streaming.errors import ConfigError
from training.inference.viewer_tower import ViewerForward, VisitHistory
from training.model.viewer_tower import ViewerTower, Visits
from training.viewer_config import MIXERS, MixerKind, ViewerConfig


def tower(config: ViewerConfig) -> ViewerTower:
    torch.manual_seed(6)
    made = ViewerTower(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


def forward(model: ViewerTower) -> ViewerForward:
    arrays = {f"viewer.{name}": tensor.numpy() for name, tensor in model.state_dict().items()}
    return ViewerForward(model.config, arrays, prefix="viewer.")


def history(length: int, d_item: int, seed: int = 3) -> VisitHistory:
    rng = np.random.default_rng(seed)

    def seconds() -> np.ndarray:
        return np.exp(rng.uniform(0, 14, length)).astype(np.float32)

    return VisitHistory(
        item_TD=rng.standard_normal((length, d_item)).astype(np.float32),
        action_T=rng.integers(0, 3, length),
        dwell_s_T=seconds(),
        gap_s_T=seconds(),
        since_same_s_T=np.where(rng.random(length) < 0.4, -1, seconds()).astype(np.float32),
        hour=float(rng.uniform(0, 24)),
    )


def visits(one: VisitHistory) -> Visits:
    length = len(one.item_TD)
    return Visits(
        item_BTD=torch.from_numpy(one.item_TD)[None],
        mask_BT=torch.ones(1, length, dtype=torch.bool),
        action_BT=torch.from_numpy(one.action_T)[None],
        dwell_s_BT=torch.from_numpy(one.dwell_s_T)[None],
        gap_s_BT=torch.from_numpy(one.gap_s_T)[None],
        since_same_s_BT=torch.from_numpy(one.since_same_s_T)[None],
        hour_BT=torch.full((1, length), one.hour),
    )


@pytest.mark.parametrize("length", [1, 2, 17, 50])
@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("mixer", MIXERS)
def test_numpy_equals_torch(mixer: MixerKind, unit: bool, length: int) -> None:
    model = tower(ViewerConfig(mixer=mixer, d_item=24, d_model=32, blocks=3, unit=unit))
    one = history(length, 24)
    expected_D = model.latest(visits(one))[0].detach().numpy()
    np.testing.assert_allclose(forward(model)(one), expected_D, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("mixer", MIXERS)
def test_numpy_equals_torch_with_items_alone(mixer: MixerKind, blocks: int) -> None:
    model = tower(ViewerConfig(mixer=mixer, d_item=32, d_model=32, blocks=blocks, actions=0, timed=False, hourly=False))
    one = history(9, 32)
    expected_D = model.latest(visits(one))[0].detach().numpy()
    np.testing.assert_allclose(forward(model)(one), expected_D, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_recurrence_that_forgets_at_once_stays_finite(mixer: MixerKind) -> None:
    model = tower(ViewerConfig(mixer=mixer, d_item=32, d_model=32))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("nu_D"):
                parameter.fill_(3.5)  # a factor of 4e-15 a step
    one = history(50, 32)
    expected_D = model.latest(visits(one))[0].detach().numpy()
    np.testing.assert_allclose(forward(model)(one), expected_D, atol=2e-5, rtol=1e-5)


def test_viewer_without_visits_has_the_zero_vector_in_both() -> None:
    model, one = tower(ViewerConfig()), history(0, 64)
    assert not forward(model)(one).any()
    empty = Visits(torch.zeros(1, 3, 64), torch.zeros(1, 3, dtype=torch.bool))
    plain = tower(ViewerConfig(actions=0, timed=False, hourly=False))
    assert not plain.latest(empty).any()


def test_only_the_last_visits_count() -> None:
    model = tower(ViewerConfig(max_visits=5))
    one = history(9, 64)
    assert np.array_equal(forward(model)(one), forward(model)(one.last(5)))


def test_missing_array_is_named() -> None:
    arrays = {name: tensor.numpy() for name, tensor in tower(ViewerConfig()).state_dict().items()}
    del arrays["blocks.1.out.weight"]
    with pytest.raises(ConfigError, match=r"blocks\.1\.out\.weight"):
        ViewerForward(ViewerConfig(), arrays)


def test_who_serves_needs_no_torch() -> None:
    code = "import sys, training.inference.viewer_tower; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
