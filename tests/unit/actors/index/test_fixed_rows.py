"""Products of rows in 16 bits are as near the exact ones as the rows say."""

from __future__ import annotations

import numpy as np
import pytest

from actors.index.fixed_rows import STEPS, FixedRows


def unit(rows: int, dimension: int, seed: int = 1) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@pytest.mark.parametrize("rows", [1, 7, 2_000])
@pytest.mark.parametrize("dimension", [1, 4, 31, 64])
@pytest.mark.parametrize("length", [1e-20, 1, 1e9])
def test_products_are_as_near_the_exact_ones_as_is_said(rows: int, dimension: int, length: float) -> None:
    vectors, query = unit(rows, dimension) * np.float32(length), unit(1, dimension, seed=2)[0]
    fixed = FixedRows(dimension, 3_000)
    fixed.put(np.arange(rows), vectors)
    got = fixed.products(rows, query)
    assert got.dtype == np.float32
    assert fixed.rounded <= length * np.sqrt(dimension) / 2 / float(STEPS)
    np.testing.assert_allclose(got, vectors.astype(np.float64) @ query, atol=fixed.rounded + 1e-5 * length, rtol=0)


def test_how_far_products_are_off_never_shrinks_and_is_known_for_every_row() -> None:
    vectors = unit(500, 16)
    fixed = FixedRows(16, 500)
    fixed.put(np.arange(500), vectors)
    rounded = fixed.rounded
    errors = np.linalg.norm(
        vectors - np.stack([fixed.products(500, axis) for axis in np.eye(16, dtype="f4")], 1), axis=1
    )
    assert errors.max() <= rounded + 1e-6
    fixed.put(np.arange(500), np.zeros((500, 16), np.float32))
    assert fixed.rounded == rounded
    np.testing.assert_array_equal(fixed.products(500, vectors[0]), 0)


def test_a_row_is_not_a_number_until_it_is_put_again() -> None:
    fixed = FixedRows(4, 8)
    fixed.put(np.arange(3), np.eye(4, dtype=np.float32)[:3])
    fixed.clear(np.array([1]))
    query = np.ones(4, np.float32)
    np.testing.assert_array_equal(fixed.products(3, query), [1, np.nan, 1])
    fixed.put(np.array([1]), np.full((1, 4), np.nan, np.float32))
    np.testing.assert_array_equal(fixed.products(3, query), [1, np.nan, 1])
    fixed.put(np.array([1]), 2 * np.ones((1, 4), np.float32))
    np.testing.assert_array_equal(fixed.products(3, query), [1, 8, 1])


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_row_with_a_component_that_is_not_finite_is_empty(odd: float) -> None:
    fixed = FixedRows(3, 8)
    fixed.put(np.arange(3), np.array([[1, odd, 0], [0, 0, 1], [odd, 0, 0]], np.float32))
    np.testing.assert_array_equal(fixed.products(3, np.ones(3, np.float32)), [np.nan, 1, np.nan])
    assert fixed.rounded < 1e-8
