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

    scores: descending. The n-th room of a streamer costs (n − 1) · streamer_cost, of a category (n − 1) ·
    category_cost. Costs only grow, so a candidate whose cost has not grown since it was last looked at, and that is no
    worse than any other's last value, is the best one left: lazy greedy (Minoux 1978). A candidate that nobody has
    looked at yet is worth its score at most, so only as many are looked at as come near the answer.
    """
    seen: list[tuple[float, int]] = []  # a heap of (−value as of the last look, position)
    of_streamer: dict[int, int] = {}
    of_category: dict[int, int] = {}
    chosen: list[int] = []
    unseen, end = 0, len(scores)
    while len(chosen) < limit:
        if unseen < end and (not seen or -scores[unseen] <= seen[0][0]):
            value, position = -scores[unseen], unseen
            unseen += 1
        elif seen:
            value, position = heapq.heappop(seen)
        else:
            break
        streamer, category = streamers[position], categories[position]
        like_streamer, like_category = of_streamer.get(streamer, 0), of_category.get(category, 0)
        now = like_streamer * streamer_cost + like_category * category_cost - scores[position]
        if now > value:
            heapq.heappush(seen, (now, position))
            continue
        chosen.append(position)
        of_streamer[streamer] = like_streamer + 1
        of_category[category] = like_category + 1
    return chosen
