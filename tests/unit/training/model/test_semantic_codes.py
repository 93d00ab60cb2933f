"""Codes: what they explain, that none dies, and that numbers stay."""

from __future__ import annotations

import numpy as np
import pytest

from streaming.errors import ConfigError
from training.model.semantic_codes import Codebooks, CodesConfig, fit_codebooks, keep_numbers

CONFIG = CodesConfig(levels=2, size=8, rounds=10)


def clusters(num: int, centres: int = 6, dimension: int = 12) -> np.ndarray:
    rng = np.random.default_rng(2)
    centre = rng.normal(size=(centres, dimension)) * 4
    return (centre[rng.integers(centres, size=num)] + rng.normal(size=(num, dimension)) * 0.3).astype(np.float32)


def test_more_levels_leave_less_unexplained() -> None:
    vectors = clusters(600)
    errors = [fit_codebooks(vectors, CodesConfig(levels, 8)).figures(vectors).error for levels in (1, 2, 3)]
    assert errors[0] < 0.05
    assert errors[0] > errors[1] > errors[2]


def test_every_code_is_used_although_clusters_are_fewer() -> None:
    vectors = clusters(600)
    figures = fit_codebooks(vectors, CONFIG).figures(vectors)
    assert figures.coverage == (1.0, 1.0)
    assert 0 < figures.collision < 0.5
    assert all(0 < entropy <= 1 for entropy in figures.entropy)


def test_the_same_seed_gives_the_same_codes() -> None:
    vectors = clusters(300)
    assert np.array_equal(fit_codebooks(vectors, CONFIG).centroids_LKD, fit_codebooks(vectors, CONFIG).centroids_LKD)


def test_a_refresh_keeps_the_numbers_of_rooms_that_hardly_moved() -> None:
    vectors = clusters(600)
    before = fit_codebooks(vectors, CONFIG)
    moved = vectors + np.random.default_rng(3).normal(size=vectors.shape).astype(np.float32) * 0.02
    after = fit_codebooks(moved, CONFIG, previous=before)
    assert (before.assign(vectors)[:, 0] == after.assign(moved)[:, 0]).mean() > 0.9


def test_a_rebuild_in_a_turned_space_keeps_most_first_numbers() -> None:
    vectors = clusters(600)
    before = fit_codebooks(vectors, CONFIG)
    turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(12, 12)))
    turned = (vectors @ turn).astype(np.float32)
    rebuilt = fit_codebooks(turned, CodesConfig(2, 8, 10, seed=9))
    kept = keep_numbers(rebuilt, turned, before.assign(vectors))
    same = (rebuilt.assign(turned)[:, 0] == before.assign(vectors)[:, 0]).mean()
    assert (kept.assign(turned)[:, 0] == before.assign(vectors)[:, 0]).mean() > max(0.6, same)


def test_vectors_that_are_no_numbers_have_a_code_all_the_same() -> None:
    books = Codebooks(np.ones((2, 3, 4), np.float32))
    assert books.assign(np.full((2, 4), np.nan, np.float32)).shape == (2, 2)


def test_codes_of_another_shape_are_not_continued() -> None:
    with pytest.raises(ConfigError, match="rebuild"):
        fit_codebooks(clusters(50), CONFIG, previous=Codebooks(np.zeros((3, 8, 12), np.float32)))
