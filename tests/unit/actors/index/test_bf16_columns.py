"""Products of 16 bits are near the exact ones, and halves are bfloat16 as torch makes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actors.index.bf16_columns import TILE, Columns, halves
from actors.index.live_index import LiveIndex
from actors.settings import IndexConfig, TablesConfig
from actors.state.room_embeddings import ModelEmbeddings
from actors.state.room_table import RoomTable
from tests.unit.actors.fake_version import FakeVersion

NEAR = 2.0**-8  # of the product of unit vectors


def unit(rows: int, dimension: int, seed: int = 1) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def test_halves_are_bfloat16() -> None:
    ties = np.array([[1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 3e38, 1e-40, 0.0, -0.0, np.inf, np.nan]], np.float32)
    for vectors in (unit(100, 32), ties):
        wanted = torch.from_numpy(vectors).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
        known = ~np.isnan(vectors)
        np.testing.assert_array_equal(halves(vectors)[known], wanted[known])
    assert halves(ties)[0, -1] & 0x7FFF > 0x7F80  # not a number


@pytest.mark.parametrize("rows", [1, TILE - 1, TILE, 2 * TILE + 5])
@pytest.mark.parametrize("dimension", [1, 4, 31, 64])
def test_products_are_near_the_exact_ones(rows: int, dimension: int) -> None:
    vectors, query = unit(rows, dimension), unit(1, dimension, seed=2)[0]
    query.flags.writeable = False
    columns = Columns(dimension, 3 * TILE)
    columns.put(np.arange(rows), vectors)
    got = columns.products(rows, query)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, vectors @ query, atol=1.001 * NEAR, rtol=0)


def test_a_row_is_not_a_number_until_it_is_put_again() -> None:
    columns = Columns(4, 8)
    columns.put(np.arange(3), np.eye(4, dtype=np.float32)[:3])
    columns.clear(np.array([1]))
    query = np.ones(4, np.float32)
    np.testing.assert_array_equal(columns.products(3, query), [1, np.nan, 1])
    columns.put(np.array([1]), np.full((1, 4), np.nan, np.float32))
    np.testing.assert_array_equal(columns.products(3, query), [1, np.nan, 1])
    columns.put(np.array([1]), 2 * np.ones((1, 4), np.float32))
    np.testing.assert_array_equal(columns.products(3, query), [1, 8, 1])


@pytest.mark.parametrize(
    ("ranks", "wanted", "is_coarse"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_what_is_not_ranked_anew_is_found_exactly(ranks: bool, wanted: bool, is_coarse: bool) -> None:
    rooms = RoomTable(LiveIndex(IndexConfig(max_rooms=16, coarse=wanted)), TablesConfig(), 16)
    embeddings = rooms.embeddings_under(FakeVersion("one", ranks=ranks), "test")
    assert isinstance(embeddings, ModelEmbeddings)
    vectors = unit(2, 8)
    embeddings.index.put(np.array([embeddings.index.slots.allocate() for _ in range(2)]), vectors)
    exact = np.array_equal(embeddings.index.products(vectors[0]), vectors @ vectors[0])
    assert exact is not is_coarse
