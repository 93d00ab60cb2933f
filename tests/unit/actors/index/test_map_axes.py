"""Tests of actors.index.map_axes: what a map shows, and that nothing moves on it that has not changed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.index.map_axes import KEEP, axes_for, packed, unpacked

Floats = NDArray[np.float32]
D = 384
E = "an encoder"


def rooms(count: int, topics: int = 12, seed: int = 0, spread: float = 0.6) -> Floats:
    """Vectors of unit length around so many topics."""
    draw = np.random.default_rng(seed)
    centres_TD = np.random.default_rng(99).standard_normal((topics, D))
    vectors_ND = centres_TD[draw.integers(topics, size=count)] + spread * draw.standard_normal((count, D))
    return np.asarray(vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True), np.float32)


def share(vectors_ND: Floats, axes_D2: Floats) -> float:
    centred_ND = vectors_ND - vectors_ND.mean(axis=0)
    return float(np.square(centred_ND @ axes_D2).sum() / np.square(centred_ND).sum())


def movement(before_N2: Floats, after_N2: Floats) -> float:
    """Mean movement, as a share of the map's width."""
    return float(np.linalg.norm(after_N2 - before_N2, axis=1).mean() / np.ptp(before_N2, axis=0).max())


def test_the_first_axes_show_what_exact_principal_components_show() -> None:
    vectors_ND = rooms(1_000)
    axes_D2, explained = axes_for(vectors_ND, None)
    centred_ND = vectors_ND - vectors_ND.mean(axis=0)
    exact_D2 = np.linalg.svd(centred_ND, full_matrices=False)[2][:2].T
    assert explained == pytest.approx(share(vectors_ND, axes_D2), rel=1e-4)
    assert explained > 0.97 * share(vectors_ND, exact_D2)
    assert np.allclose(axes_D2.T @ axes_D2, np.eye(2), atol=1e-4)


def test_rooms_stay_where_they_are_while_others_come_go_and_change() -> None:
    vectors_ND = rooms(600)
    draw = np.random.default_rng(7)
    axes_D2, _ = axes_for(vectors_ND, None)
    first_N2 = vectors_ND @ axes_D2
    for minute in range(30):
        changed_N = draw.choice(len(vectors_ND), 60, replace=False)
        vectors_ND[changed_N] = rooms(60, seed=minute + 1, spread=0.9)
        axes_D2, _ = axes_for(vectors_ND, unpacked(packed(axes_D2, E), D, E))
        same_N = np.setdiff1d(np.arange(len(vectors_ND)), changed_N)
        now_N2 = vectors_ND @ axes_D2
        assert movement(first_N2[same_N], now_N2[same_N]) < 1e-5
        assert movement(first_N2[changed_N], now_N2[changed_N]) > 0.02
        first_N2 = now_N2


def test_axes_that_no_longer_show_what_differs_are_replaced_and_turned_towards_the_old() -> None:
    before_ND, draw = rooms(400), np.random.default_rng(3)
    axes_D2, _ = axes_for(before_ND, None)
    turned_D2 = axes_D2 @ np.array([[0.0, 1.0], [-1.0, 0.0]], np.float32)
    tilt_D2 = np.linalg.qr(turned_D2 + 0.06 * draw.standard_normal((D, 2)))[0].astype(np.float32)
    assert share(before_ND, tilt_D2) < KEEP * share(before_ND, axes_D2)
    new_D2, explained = axes_for(before_ND, tilt_D2)
    assert explained > 0.97 * share(before_ND, axes_D2)
    shown_N2 = before_ND @ tilt_D2
    correlations = [np.corrcoef(shown_N2[:, at], (before_ND @ new_D2)[:, at])[0, 1] for at in range(2)]
    assert min(correlations) > 0.5, "neither turned nor mirrored"


def test_every_replica_finds_the_same_axes() -> None:
    vectors_ND = rooms(500)
    shuffled_ND = np.random.default_rng(1).permutation(vectors_ND)
    here, there = (packed(axes_for(one, None)[0], E) for one in (vectors_ND, shuffled_ND))
    axes_D2, other_D2 = unpacked(here, D, E), unpacked(there, D, E)
    assert axes_D2 is not None
    assert other_D2 is not None
    assert movement(vectors_ND @ axes_D2, vectors_ND @ other_D2) < 0.01


def test_axes_come_back_from_text_as_they_went() -> None:
    axes_D2, _ = axes_for(rooms(300), None)
    again_D2 = unpacked(packed(axes_D2, E), D, E)
    assert again_D2 is not None
    assert np.allclose(again_D2, axes_D2, atol=1e-6)
    assert unpacked(packed(axes_D2, E), D + 1, E) is None, "of another dimension"
    assert unpacked(packed(axes_D2, E), D, "another") is None, "of another encoder"


@pytest.mark.parametrize(
    "text", ["%%%", "AAA", "ä", packed(np.ones((D, 2), np.float32), E), ""], ids=lambda text: text[:4]
)
def test_text_that_no_map_gave_is_refused(text: str) -> None:
    if text == "":
        assert unpacked(text, D, E) is None
        return
    with pytest.raises(ValueError, match="axes"):
        unpacked(text, D, E)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_rooms_have_a_map_too(count: int) -> None:
    vectors_ND = rooms(count)
    axes_D2, explained = axes_for(vectors_ND, None)
    assert np.isfinite(axes_D2).all()
    assert 0 <= explained <= 1.001
    same_D2, _ = axes_for(vectors_ND, unpacked(packed(axes_D2, E), D, E))
    assert np.allclose(same_D2, axes_D2, atol=1e-6)
