"""Tests of the order: greedy, and the same as looking at everything. Never touches rooms."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np

from actors.recommend.diversity import diversify


def by_looking_at_everything(
    scores: list[float], streamers: list[int], categories: list[int], limit: int, costs: tuple[float, float]
) -> list[float]:
    """The values of a greedy that computes every value anew for each place."""
    left, seen_streamers, seen_categories = list(range(len(scores))), Counter[int](), Counter[int]()
    values: list[float] = []
    while left and len(values) < limit:
        worth = {
            i: scores[i] - seen_streamers[streamers[i]] * costs[0] - seen_categories[categories[i]] * costs[1]
            for i in left
        }
        best = max(left, key=lambda i: worth[i])
        values.append(scores[best])
        left.remove(best)
        seen_streamers[streamers[best]] += 1
        seen_categories[categories[best]] += 1
    return values


def test_the_order_is_the_greedy_one() -> None:
    rng = random.Random(5)
    for _ in range(200):
        count = rng.randrange(60)
        scores = sorted((rng.random() * 3 for _ in range(count)), reverse=True)
        streamers = [rng.randrange(20) for _ in range(count)]
        categories = [rng.randrange(4) for _ in range(count)]
        costs = rng.choice([0.0, 0.5]), rng.choice([0.0, 0.02, 0.3])
        chosen = diversify(
            np.array(scores, np.float64),
            np.array(streamers, np.int32),
            np.array(categories, np.int32),
            limit=20,
            streamer_cost=costs[0],
            category_cost=costs[1],
        )
        assert len(set(chosen)) == len(chosen)
        assert [scores[i] for i in chosen] == by_looking_at_everything(scores, streamers, categories, 20, costs)
