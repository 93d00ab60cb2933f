"""Owns the order of the answer: the best first, but not ten times the same. Never changes a score."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def diversify(
    scores: Sequence[float],
    streamers: Sequence[int],
    categories: Sequence[int],
    *,
    limit: int,
    streamer_cost: float,
    category_cost: float,
) -> list[int]:
    """Positions of up to `limit` candidates: greedily the best score less the cost of its likes.

    The n-th room of a streamer costs (n − 1) · streamer_cost, of a category (n − 1) · category_cost. Costs only grow,
    so a candidate on top of the heap whose cost has not grown since is the best one left: lazy greedy (Minoux 1978).
    """
    heap = [(-score, position) for position, score in enumerate(scores)]
    heapq.heapify(heap)
    of_streamer: dict[int, int] = {}
    of_category: dict[int, int] = {}
    chosen: list[int] = []
    while heap and len(chosen) < limit:
        value, position = heap[0]
        streamer, category = streamers[position], categories[position]
        cost = of_streamer.get(streamer, 0) * streamer_cost + of_category.get(category, 0) * category_cost
        now = cost - scores[position]
        if now > value:
            heapq.heapreplace(heap, (now, position))
            continue
        heapq.heappop(heap)
        chosen.append(position)
        of_streamer[streamer] = of_streamer.get(streamer, 0) + 1
        of_category[category] = of_category.get(category, 0) + 1
    return chosen
