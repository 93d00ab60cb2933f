"""What is trending for nobody in particular: by the columns that recommendations use. Never looks at a viewer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.recommend.answer_items import Why, as_item
from actors.recommend.recommender import Recommender
from actors.recommend.schema import Item
from actors.recommend.scoring import UNITS
from actors.requests.filters import NO_FILTERS, Filters


class Trending:
    """Lists live rooms by who comes, who is there and how chat rises. Touches no network; any thread may ask."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    def rooms(self, limit: int, filters: Filters = NO_FILTERS, exclude_streamers: Sequence[str] = ()) -> list[Item]:
        """Live rooms, the most trending first, each with its reason. Ties break the same way in every replica.

        Their score is the part of the baseline ranker's that all viewers share, without freshness, as of at most
        `recommend.renew_ms` ago; one that began since then has 0. No rooms are spread, and no version changes it.
        """
        recommender = self._recommender
        with recommender.tables.lock:
            rooms, global_lists = recommender.tables.rooms, recommender.global_lists
            room_filter = recommender.candidates.filter
            now_ms = recommender.now_ms()
            slots_N = room_filter.allowed(filters, now_ms, room_filter.hidden((), exclude_streamers))
            units_N = np.rint(global_lists.busy(slots_N).astype(np.float64) * UNITS)
            places_L = (-units_N - recommender.candidates.ties(slots_N)).argsort()[:limit]
            sources = recommender.reasons.of_crowds(slots_N, places_L) if len(places_L) else []
            said = np.rint(global_lists.chat_per_minute_N[slots_N[places_L]]).astype(np.int64).tolist()
            return [
                as_item(
                    rooms.by_slot[slot],
                    now_ms,
                    units / UNITS,
                    Why(source, recommender.languages.english.of(source, "")),
                    rooms.embeddings.version,
                    chat_per_minute=chat,
                )
                for slot, units, source, chat in zip(
                    slots_N[places_L].tolist(), units_N[places_L].tolist(), sources, said, strict=True
                )
            ]
