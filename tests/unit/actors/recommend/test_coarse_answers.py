"""Answers whose candidates were found in 16 bits are those that all products in float32 give."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.recommend.recommender import Answer, Filters, Query
from actors.settings import IndexConfig, RecommendConfig
from tests.unit.actors.replica import AXES, Replica

NEAREST = 4  # few, so that what is nearest decides
NO_VECTOR = b""


def vector(rng: np.random.Generator, *, near: bool) -> bytes:
    """A content vector; near: one of many that hardly differ, or not at all."""
    vector_D = rng.normal(size=AXES)
    if near:
        vector_D = np.ones(AXES) + rng.choice([0, 1e-3, 1e-2]) * vector_D
    return (vector_D / np.linalg.norm(vector_D)).astype("<f2").tobytes()


def answers(seed: int, rooms: int, *, near: bool, coarse: bool) -> list[Answer]:
    """The answers of a replica with random rooms, some without a vector, mature, ended, or replaced by others."""
    rng = np.random.default_rng(seed)
    config = RecommendConfig(nearest=NEAREST, pool=8)
    replica = Replica(IndexConfig(max_rooms=1_000, coarse=coarse), config)
    changes = [
        {
            "title_vector": vector(rng, near=near) if rng.random() < 0.8 else NO_VECTOR,
            "category": f"c{rng.integers(5)}",
            "language": str(rng.choice(["en", "de", "fr"])),
            "streamer": f"s{rng.integers(rooms)}",
            "mature": bool(rng.random() < 0.2),
            "entered": int(rng.integers(3)),  # many rooms of equal score
            "started_at_ms": replica.clock.now_ms() - 1_000_000 * int(rng.integers(3)),
        }
        for _ in range(rooms)
    ]
    for room, change in enumerate(changes):
        replica.room(f"r{room}", **change)
    replica.viewer("v", *[f"r{room}" for room in rng.integers(rooms, size=3).tolist()], now_in="r0")
    for room in np.flatnonzero(rng.random(rooms) < 0.1).tolist():
        replica.room(f"r{room}", **(changes[room] | {"status": "ended"}))
    for room in range(rooms // 20):
        replica.room(f"late{room}", **changes[room])
    queries = [
        Query(viewer="v", explain=True),
        Query(viewer="v", limit=100),
        Query(viewer="v", exclude=["r1", "r2"], exclude_streamers=("s3",)),
        Query(viewer="v", filters=Filters(mature="any", language="de")),
        Query(viewer="nobody"),
    ]
    return [replica.recommender.recommend(query, "same") for query in queries]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.booleans())
def test_answers_are_the_same_however_candidates_are_found(seed: int, rooms: int, near: bool) -> None:
    assert answers(seed, rooms, near=near, coarse=True) == answers(seed, rooms, near=near, coarse=False)
