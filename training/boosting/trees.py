"""LightGBM's grown trees, with predictions equal to LightGBM's to the bit. Never grows one.

LightGBM walks each tree for each room: 18 us a room for 300 trees. All at once takes a tenth (tree_kernels.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.boosting import tree_kernels
from training.boosting.tree_kernels import LEAVES
from training.features import compiling

DUMPED_INFINITY = 1e300  # the threshold in a dump where all known values go left


class Trees:
    """Trees whose nodes compare a number with a threshold."""

    def __init__(self, dump: Mapping[str, Any]) -> None:
        """dump: of `Booster.dump_model()`. Raises ValueError: a node of another kind, or more than LEAVES leaves."""
        compiling.load(tree_kernels.signatures())
        trees = [each["tree_structure"] for each in dump["tree_info"]]
        leaves = [_leaves(tree) for tree in trees]
        if max(map(len, leaves), default=1) > LEAVES:
            raise ValueError(f"a tree of {max(map(len, leaves))} leaves; a mask has {LEAVES}")
        nodes = sorted(
            (node for number, tree in enumerate(trees) for node in _nodes(tree, number, 0)), key=lambda node: node[:2]
        )
        num_features = int(dump["max_feature_idx"]) + 1
        self._starts_F = np.searchsorted([node[0] for node in nodes], np.arange(num_features + 1)).astype(np.int64)
        self._threshold_X = np.array([node[1] for node in nodes], np.float32)
        self._tree_X = np.array([node[2] for node in nodes], np.int64)
        self._right_X = np.array([node[3] for node in nodes], np.uint32)
        self._unknown_X = np.array([node[4] for node in nodes], np.bool_)
        self._leaf_TL = np.zeros((len(trees), max(map(len, leaves), default=1)))
        for tree, values in enumerate(leaves):
            self._leaf_TL[tree, : len(values)] = values

    def __call__(self, values_NF: NDArray[np.float32]) -> NDArray[np.float64]:
        """The prediction for each row, float64 [N], equal to `Booster.predict`."""
        scores_N: NDArray[np.float64] = tree_kernels.grown(
            np.ascontiguousarray(values_NF, np.float32),
            self._starts_F,
            self._threshold_X,
            self._tree_X,
            self._right_X,
            self._unknown_X,
            self._leaf_TL,
        )
        return scores_N


def _leaves(node: Mapping[str, Any]) -> list[float]:
    """The values of the leaves, from left to right."""
    if "split_feature" not in node:
        return [float(node["leaf_value"])]
    return [*_leaves(node["left_child"]), *_leaves(node["right_child"])]


def _nodes(node: Mapping[str, Any], tree: int, leaf: int) -> Sequence[tuple[int, float, int, int, bool]]:
    """The nodes as tuples: feature, threshold, tree, mask for going right, whether unknown values go right.

    leaf: the first leaf below the node.
    """
    if "split_feature" not in node:
        return []
    if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
        raise ValueError(f"a node of {node['decision_type']} with {node['missing_type']} for what is missing")
    left = len(_leaves(node["left_child"]))
    threshold = float(node["threshold"])
    right = (1 << LEAVES) - 1 ^ (1 << leaf + left) - (1 << leaf)
    to_the_right = not node["default_left"] if node["missing_type"] == "NaN" else threshold < 0
    here = (int(node["split_feature"]), _below(threshold), tree, right, to_the_right)
    return [here, *_nodes(node["left_child"], tree, leaf), *_nodes(node["right_child"], tree, leaf + left)]


def _below(threshold: float) -> float:
    """The largest float32 that is not above a threshold: no float32 lies between the two."""
    if threshold >= DUMPED_INFINITY:
        return np.inf
    with np.errstate(over="ignore"):  # overflows to infinity, its value as float32
        near = np.float32(threshold)
    return float(near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf)))
