"""What trees say of rooms, against LightGBM's own answer, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streaming.errors import ConfigError
from training.boosting.ranker import BoostingConfig
from training.boosting.tree_kernels import LEAVES
from training.boosting.trees import Trees

lightgbm = pytest.importorskip("lightgbm", reason="pip install 'tidecast[eval]'")

FEATURES = 9


def values(rows: int, seed: int, unknown: float) -> NDArray[np.float32]:
    """Columns of numbers, of counts, of two values, of one, and of the very large; some of them NaN."""
    rng = np.random.default_rng(seed)
    columns_NF = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    columns_NF[:, 1] = rng.poisson(1.5, rows)
    columns_NF[:, 2] = rng.random(rows) < 0.2
    columns_NF[:, 3] = 1
    columns_NF[:, 4] *= np.float32(1e30)
    columns_NF[:, 5] = np.round(columns_NF[:, 5], 1)
    columns_NF[rng.random((rows, FEATURES)) < unknown] = np.nan
    return columns_NF


def grown(seed: int, *, leaves: int = 31, unknown: float = 0.2, trees: int = 40) -> Any:
    values_NF, rng = values(4_000, seed, unknown), np.random.default_rng(seed)
    pull_N = np.nan_to_num(values_NF[:, 0]) + values_NF[:, 1] * (values_NF[:, 2] == 1) + np.isnan(values_NF[:, 5])
    entered_N = (np.nan_to_num(pull_N) + rng.standard_normal(4_000) > 1).astype(int)
    settings = {"objective": "lambdarank", "num_leaves": leaves, "min_data_in_leaf": 20, "verbosity": -1, "seed": seed}
    data = lightgbm.Dataset(values_NF, entered_N, group=[20] * 200)
    return lightgbm.train({**settings, "num_threads": 1}, data, trees)


@pytest.mark.parametrize("unknown", [0.0, 0.3])  # of what was learned from: else the unknown counts as zero
@pytest.mark.parametrize("leaves", [2, 7, 31, LEAVES])
def test_trees_say_to_the_bit_what_lightgbm_says(leaves: int, unknown: float) -> None:
    booster = grown(leaves, leaves=leaves, unknown=unknown)
    trees = Trees(booster.dump_model())
    for rows in (1, 2, 15, 16, 17, 400):
        for holes in (0.0, 0.5, 1.0):
            some_NF = values(rows, 100 + rows, holes)
            assert np.array_equal(trees(some_NF), booster.predict(some_NF, num_threads=1))


def test_values_at_a_threshold_and_beyond_all_of_them_go_where_lightgbm_sends_them() -> None:
    booster = grown(1)
    dump = booster.dump_model()
    model = booster.model_to_string()
    thresholds = [line.split("=")[1].split() for line in model.splitlines() if line.startswith("threshold=")]
    at = np.array(sorted({float(threshold) for line in thresholds for threshold in line}))
    near = at.astype(np.float32)
    odd = np.array([np.inf, -np.inf, 0, -0.0, np.finfo(np.float32).max, np.finfo(np.float32).tiny], np.float32)
    tried = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf)), odd])
    some_NF = np.repeat(tried[:, None], FEATURES, axis=1)
    assert np.array_equal(Trees(dump)(some_NF), booster.predict(some_NF, num_threads=1))


def test_trees_that_learned_nothing_say_what_lightgbm_says() -> None:
    data = lightgbm.Dataset(np.zeros((40, 2), np.float32), np.tile([1, 0], 20), group=[20, 20])
    booster = lightgbm.train({"objective": "lambdarank", "verbosity": -1, "num_threads": 1}, data, 3)
    some_NF = np.ones((5, 2), np.float32)
    assert np.array_equal(Trees(booster.dump_model())(some_NF), booster.predict(some_NF, num_threads=1))


def test_nodes_that_compare_nothing_are_refused() -> None:
    leaf = {"leaf_value": 1.0}
    node = {
        "split_feature": 0, "threshold": "1||2", "decision_type": "==", "missing_type": "None", "default_left": False,
        "left_child": leaf, "right_child": leaf,
    }  # fmt: skip
    with pytest.raises(ValueError, match="a node of =="):
        Trees({"tree_info": [{"tree_structure": node}], "max_feature_idx": 0})


def test_more_leaves_than_a_mask_has_bits_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"boosting\.leaves is 33; it must be at least 2 and at most 32"):
        BoostingConfig(leaves=LEAVES + 1)
    with pytest.raises(ValueError, match="a tree of"):
        Trees(grown(3, leaves=60, trees=2).dump_model())
