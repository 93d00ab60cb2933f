"""Owns the tests of where viewers go from where: a version's table says what was counted. Never trains."""

from __future__ import annotations

import numpy as np
import pytest

from training.paths import LONGEST_HABITS
from training.transitions import Sparse, Transitions

STREAMERS = 60


def drawn(seed: int) -> tuple[Transitions, list[dict[int, list[float]]], list[dict[int, list[float]]]]:
    """Tables drawn with a seed, and the same as dictionaries by row."""
    rng = np.random.default_rng(seed)

    def rows(values: int) -> list[dict[int, list[float]]]:
        table: list[dict[int, list[float]]] = [{}]
        for _ in range(STREAMERS):
            others = rng.choice(np.arange(1, STREAMERS + 1), rng.integers(0, 9), replace=False)
            table.append({int(other): rng.integers(1, 9, values).astype(float).tolist() for other in sorted(others)})
        return table

    def packed(table: list[dict[int, list[float]]], values: int) -> Sparse:
        start_S = np.cumsum([0, *[len(row) for row in table]])
        streamers = np.array([other for row in table for other in row], np.int32)
        kept = [value for row in table for value in row.values()]
        return Sparse(start_S, streamers, np.array(kept, np.float32).reshape(-1, values))

    moves, shared = rows(2), [{other: [v[0] / 16] for other, v in row.items()} for row in rows(1)]
    return Transitions(packed(moves, 2), packed(shared, 1)), moves, shared


@pytest.mark.parametrize("seed", range(8))
def test_columns_are_those_of_the_rows_one_by_one(seed: int) -> None:
    transitions, moves, shared = drawn(seed)
    rng = np.random.default_rng(seed)
    visited = rng.integers(0, STREAMERS + 1, rng.integers(0, 40)).tolist()
    rows_N = rng.integers(0, STREAMERS + 1, 25).astype(np.int32)
    got = transitions.from_visits(visited).columns(rows_N)

    known = [row for row in dict.fromkeys(reversed(visited)) if row][:LONGEST_HABITS]
    tables = [shared[row] for row in known if shared[row]]
    wanted = np.zeros((25, 4))
    for place, row in enumerate(rows_N.tolist()):
        if visited and row in moves[visited[-1]]:
            wanted[place, :2] = moves[visited[-1]][row]
        cosines = [table[row][0] for table in tables if row in table]
        if cosines:
            wanted[place, 2:] = sum(cosines) / len(tables), max(cosines)
    wanted[:, :2] /= np.maximum(wanted[:, :2].sum(axis=0), 1)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_a_viewer_without_a_past_has_no_trails() -> None:
    transitions, _, _ = drawn(0)
    assert not transitions.from_visits([]).columns(np.arange(5, dtype=np.int32)).any()
    assert not transitions.from_visits([0]).columns(np.arange(5, dtype=np.int32)).any()
