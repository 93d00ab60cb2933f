"""Tests of LiveIndex: exact, deleted rows never found, rows never seen torn. Never measures speed."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.index.live_index import LiveIndex
from actors.settings import IndexConfig
from streaming.errors import ConfigError


def release(index: LiveIndex, slot: int) -> None:
    index.clear(np.array([slot]))
    index.slots.release(slot)


def filled(rows: int, dimension: int, dtype: str = "float32") -> tuple[LiveIndex, NDArray[np.float32]]:
    index = LiveIndex(IndexConfig(max_rooms=rows, dtype=dtype))  # type: ignore[arg-type]
    vectors_ND = np.random.default_rng(0).standard_normal((rows, dimension)).astype(np.float16).astype(np.float32)
    slots = np.array([index.slots.allocate() for _ in range(rows)], np.int64)
    index.put(slots, vectors_ND)
    return index, vectors_ND


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("queries", [1, 3, 40])
@pytest.mark.parametrize("k", [1, 10, 150])
def test_search_is_exact_and_never_finds_a_released_row(dtype: str, queries: int, k: int) -> None:
    index, vectors_ND = filled(3_000, 16, dtype)
    for slot in range(0, 3_000, 3):
        release(index, slot)
    queries_QD = -np.abs(vectors_ND[:queries])  # many negative scores: a row of zeros would win
    hits = index.search(queries_QD, k)
    scores_QN = queries_QD @ vectors_ND.T
    scores_QN[:, ::3] = -np.inf
    best_QK = np.sort(scores_QN, axis=1)[:, : -k - 1 : -1]
    np.testing.assert_allclose(hits.scores_QK, best_QK, rtol=1e-4, atol=1e-4)
    assert not (hits.slots_QK % 3 == 0).any()


def test_fewer_rows_than_asked_for_leaves_minus_one() -> None:
    index, vectors_ND = filled(4, 8)
    release(index, 2)
    slots = index.search(vectors_ND[:1], 6).slots_QK[0]
    assert set(slots[:3].tolist()) == {0, 1, 3}
    assert slots[3:].tolist() == [-1, -1, -1]


def test_an_allocated_slot_is_found_only_once_it_is_put() -> None:
    index, vectors_ND = filled(3, 8)
    release(index, 1)
    assert index.slots.allocate() == 1
    assert 1 not in index.search(vectors_ND[1:2], 3).slots_QK
    index.put(np.array([1]), vectors_ND[1:2])
    assert 1 in index.search(vectors_ND[1:2], 3).slots_QK


def test_a_full_index_gives_no_slot_until_one_is_released() -> None:
    index, _ = filled(3, 8)
    assert index.slots.allocate() is None
    release(index, 0)
    assert index.slots.allocate() == 0
    assert len(index.slots) == 3


def test_an_empty_index_finds_nothing() -> None:
    hits = LiveIndex(IndexConfig()).search(np.zeros((2, 8), np.float32), 5)
    assert hits.slots_QK.shape == (2, 5)
    assert (hits.slots_QK == -1).all()


def test_a_write_during_the_scan_is_scored_again(monkeypatch: pytest.MonkeyPatch) -> None:
    index, vectors_ND = filled(50, 8)
    query_1D = vectors_ND[:1]
    scan = index._scan

    def scan_with_writes(queries_QD: NDArray[np.float32], high: int, k: int) -> object:
        hits = scan(queries_QD, high, k)
        monkeypatch.setattr(index, "_scan", scan)
        release(index, 0)  # the best hit of the scan
        index.put(np.array([7]), 100 * query_1D)  # which it saw before this
        return hits

    monkeypatch.setattr(index, "_scan", scan_with_writes)
    slots = index.search(query_1D, 10).slots_QK[0].tolist()
    expected = np.argsort(-(vectors_ND @ query_1D[0]))
    assert slots == [7, *[slot for slot in expected.tolist() if slot not in {0, 7}][:9]]


def test_rows_are_never_seen_torn_while_another_thread_overwrites_them() -> None:
    """A row is all ones or all minus ones times a step: any score of a torn row lies between two steps."""
    dimension, rows = 256, 600
    index = LiveIndex(IndexConfig(max_rooms=rows))
    slots = np.array([index.slots.allocate() for _ in range(rows)], np.int64)
    index.put(slots, np.ones((rows, dimension), np.float32))
    stop = threading.Event()

    def overwrite() -> None:
        rng = np.random.default_rng(1)
        while not stop.is_set():
            some = rng.choice(slots, 64, replace=False)
            signs = rng.choice(np.array([-1.0, 1.0], np.float32), (64, 1))
            index.put(some, signs * np.ones((64, dimension), np.float32))
            release(index, int(some[0]))
            taken = index.slots.allocate()
            assert taken is not None
            index.put(np.array([taken]), np.ones((1, dimension), np.float32))

    writer = threading.Thread(target=overwrite)
    writer.start()
    try:
        query_1D = np.ones((1, dimension), np.float32)
        for _ in range(150):
            scores = index.search(query_1D, rows).scores_QK[0]
            found = scores[scores > -1e30]
            assert np.isin(found, [-dimension, dimension]).all()
    finally:
        stop.set()
        writer.join()


def test_config_refuses_an_index_without_rooms() -> None:
    with pytest.raises(ConfigError, match=r"index\.max_rooms"):
        IndexConfig(max_rooms=0)


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_products_are_of_every_row_and_nan_where_there_is_no_vector(dtype: str, coarse: bool) -> None:
    index = LiveIndex(IndexConfig(max_rooms=9, dtype=dtype), coarse=coarse)  # type: ignore[arg-type]
    for _ in range(4):
        index.slots.allocate()
    query_D = np.array([1, 2], np.float32)
    assert np.isnan(index.products(query_D)).tolist() == [True] * 4
    index.put(np.array([0, 2]), np.array([[1, 0], [1, 1]], np.float32))
    np.testing.assert_array_equal(index.products(query_D), [1, np.nan, 3, np.nan])
    release(index, 0)
    np.testing.assert_array_equal(index.products(query_D), [np.nan, np.nan, 3, np.nan])
    index.slots.allocate(), index.slots.allocate()  # the one that is free, and one more
    np.testing.assert_array_equal(index.products(query_D), [np.nan, np.nan, 3, np.nan, np.nan])
