"""The compiled encoding of what does not learn is torch's, to the bit."""

from __future__ import annotations

import numpy as np
import torch

from training.model.config import EXTRA, RANKED, RankerConfig
from training.model.ranker import BEYOND, RankerNetwork, quantile_knots

BINS = RankerConfig().bins


def test_values_that_do_not_learn_are_encoded_as_those_that_do() -> None:
    rng, width = np.random.default_rng(5), len(RANKED) + len(EXTRA)
    values_RF = rng.normal(scale=10.0 ** rng.integers(-6, 7, width), size=(700, width)).astype(np.float32)
    values_RF[rng.random(values_RF.shape) < 0.1] = np.nan
    values_RF[:, 1] = 0
    values_RF[:300, 2] = 0
    knots_FQ = quantile_knots(values_RF, BINS)
    knots_FQ[3] = BEYOND * np.arange(1, BINS + 2)  # of which nothing was known
    values_RF[:4, 0] = np.inf, -np.inf, np.finfo(np.float32).max, -0.0
    values_RF[:50, 4] = knots_FQ[4, 3]  # on a knot
    ranker = RankerNetwork(RankerConfig(), RANKED, knots_FQ)
    values = torch.from_numpy(values_RF)
    compiled = ranker.encode(values)
    learning = ranker.encode(values.clone().requires_grad_())
    assert learning.requires_grad
    assert not compiled.requires_grad
    assert compiled.shape == learning.shape
    assert torch.equal(compiled, learning.detach())
    assert set(compiled[:, 3 * (BINS + 1) : 4 * (BINS + 1)].unique().tolist()) == {0.0}
    assert 0 < float(compiled.mean()) < 1
