"""The nearest rows are those that a sort of exact products finds, however coarsely they are looked for."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.index.live_index import LiveIndex
from actors.index.nearest import NO_VECTOR, Products
from actors.settings import IndexConfig

NUM = 8


def index_of(vectors: np.ndarray, *, coarse: bool, dtype: Literal["float32", "float16"] = "float32") -> LiveIndex:
    index = LiveIndex(IndexConfig(max_rooms=len(vectors) + 3, coarse=coarse, dtype=dtype))
    slots = np.array([index.slots.allocate() for _ in vectors], np.int64)
    index.put(slots, vectors)
    return index


def by_sorting(index: LiveIndex, query: np.ndarray, open_S: np.ndarray, tie_S: np.ndarray, num: int) -> list[int]:
    """All products computed as the chosen ones are, and sorted."""
    products = index.compare(query)
    every = np.arange(len(products.product_S))
    has_vector_S = ~np.isnan(index.vectors(every)[:, 0])
    products.settle(every)
    product_S = products.product_S
    order = np.lexsort((every, -tie_S[every], -product_S))
    return [slot for slot in order.tolist() if open_S[slot] and has_vector_S[slot]][:num]


@given(st.integers(0, 2**32 - 1), st.integers(1, 700), st.sampled_from([1, 3, 32, 64]), st.booleans(), st.booleans())
def test_the_nearest_are_those_that_a_sort_finds(
    seed: int, rows: int, dimension: int, coarse: bool, near: bool
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, dimension)).astype(np.float32)
    if near:  # many rows of nearly or quite the same product
        vectors = (vectors[:1] + 10.0 ** rng.integers(-9, -3) * vectors).astype(np.float32)
    vectors[rng.random(rows) < 0.3] = vectors[0]
    vectors[rng.random(rows) < 0.2] = np.nan
    tie_S = rng.integers(0, 50, rows + 3) / 50
    open_S = rng.random(rows + 3) < rng.choice([0.1, 0.9, 1.0])
    index = index_of(vectors, coarse=coarse, dtype="float16" if seed % 2 else "float32")
    query = rng.normal(size=dimension).astype(np.float32)
    found = index.compare(query).nearest(open_S, NUM, tie_S)
    wanted = by_sorting(index, query, open_S, tie_S, NUM)
    assert sorted(found.tolist()) == sorted(wanted)


def test_all_the_nearest_may_lie_in_one_block() -> None:
    vectors = np.zeros((4_000, 2), np.float32)
    vectors[5::250] = [1, 0]
    vectors[1_000:1_010] = [1, 0]
    index = index_of(vectors, coarse=True)
    tie_S = np.linspace(0, 1, 4_003)
    found = index.compare(np.array([1, 0], np.float32)).nearest(np.ones(4_003, np.bool_), NUM, tie_S)
    assert found.tolist() == [3_755, 3_505, 3_255, 3_005, 2_755, 2_505, 2_255, 2_005]


def test_a_product_does_not_depend_on_what_else_is_compared() -> None:
    rng = np.random.default_rng(0)
    vectors, query = rng.normal(size=(300, 31)).astype(np.float32), rng.normal(size=31).astype(np.float32)
    index = index_of(vectors, coarse=True)
    together, alone = index.compare(query), index.compare(query)
    together.settle(np.arange(300))
    for slot in rng.permutation(300):
        alone.settle(np.array([slot]))
    np.testing.assert_array_equal(together.product_S, alone.product_S)
    np.testing.assert_allclose(together.product_S, vectors @ query, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("coarse", [True, False])
@pytest.mark.parametrize("length", [0.01, 1, 1_000])
def test_products_are_off_by_no_more_than_the_margin_which_is_small(length: float, coarse: bool) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(500, 64)).astype(np.float32)
    query = rng.normal(size=64)
    products = index_of(vectors, coarse=coarse).compare(np.float32(length / np.linalg.norm(query)) * query)
    found = products.product_S.copy()
    products.settle(np.arange(500))
    off = np.abs(found - products.product_S).max()
    assert 0 < off <= products.margin < length * np.linalg.norm(vectors, axis=1).max() / 1_000


def test_without_any_vector_nothing_is_near() -> None:
    index = LiveIndex(IndexConfig(max_rooms=4))
    index.slots.allocate()
    products = index.compare(np.ones(3, np.float32))
    assert not len(products.nearest(np.ones(4, np.bool_), NUM, np.zeros(4)))
    products.settle(np.array([0]))
    assert products.product_S.tolist() == [NO_VECTOR]


def test_a_query_of_another_dimension_is_refused() -> None:
    index = index_of(np.ones((2, 3), np.float32), coarse=True)
    with pytest.raises(ValueError, match="3"):
        index.compare(np.ones(4, np.float32))


def test_a_query_that_is_not_a_number_finds_nothing() -> None:
    products: Products = index_of(np.ones((2, 3), np.float32), coarse=True).compare(np.full(3, np.nan, np.float32))
    assert not len(products.nearest(np.ones(5, np.bool_), NUM, np.zeros(5)))
