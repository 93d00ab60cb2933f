"""What is trending for nobody in particular: by the columns that recommendations use. Never looks at a viewer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.recommend.answer.items import Why, as_item
from actors.recommend.recommender import Recommender
from actors.recommend.rule_effects import Pin, placed
from actors.recommend.schema import Item, ReasonSource
from actors.recommend.scoring import UNITS
from actors.requests.filters import NO_FILTERS, Filters
from actors.requests.room_filter import Slots
from actors.state.ruled_rooms import MatchedRule


class Trending:
    """Lists live rooms by who comes, who is there and how chat rises. Touches no network; any thread may ask."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    def rooms(self, limit: int, filters: Filters = NO_FILTERS, exclude_streamers: Sequence[str] = ()) -> list[Item]:
        """Live rooms, the most trending first, each with its reason. Ties break the same way in every replica.

        Their score is the part of the baseline ranker's that all viewers share, without freshness, as of at most
        `recommend.renew_ms` ago; one that began since then has 0. No rooms are spread, and no version changes it.
        Operators' rules hold.
        """
        recommender = self._recommender
        with recommender.tables.lock:
            rooms, global_lists = recommender.tables.rooms, recommender.global_lists
            room_filter = recommender.candidates.filter
            now_ms = recommender.now_ms()
            slots_N = room_filter.allowed(filters, now_ms, room_filter.hidden((), exclude_streamers))
            busy_N, gains_N = global_lists.busy(slots_N), recommender.effects.gains(slots_N)
            units_N = np.rint((busy_N if gains_N is None else busy_N + gains_N).astype(np.float64) * UNITS)
            order_N = (-units_N - recommender.candidates.ties(slots_N)).argsort()
            pins = recommender.effects.pins(slots_N[order_N])
            places_L = _with_pins(slots_N, order_N, pins, limit) if pins else order_N[:limit]
            sources = recommender.reasons.of_crowds(slots_N, places_L) if len(places_L) else []
            said = np.rint(global_lists.chat_per_minute_N[slots_N[places_L]]).astype(np.int64).tolist()
            pinned = {pin.slot: pin.rule for pin in pins}
            return [
                as_item(
                    rooms.by_slot[slot],
                    now_ms,
                    units / UNITS,
                    self._why(slot, source, pinned.get(slot)),
                    rooms.embeddings.version,
                    chat_per_minute=chat,
                )
                for slot, units, source, chat in zip(
                    slots_N[places_L].tolist(), units_N[places_L].tolist(), sources, said, strict=True
                )
            ]

    def _why(self, slot: int, source: ReasonSource, pinned: MatchedRule | None) -> Why:
        by_rule = self._recommender.effects.reason(slot, pinned)
        if by_rule is None:
            return Why(source, self._recommender.languages.english.of(source, ""))
        return Why(by_rule.source, by_rule.reason, rule=by_rule.rule)


def _with_pins(slots_N: Slots, order_N: Slots, pins: Sequence[Pin], limit: int) -> Slots:
    """The first positions of an order, with the pinned rooms where they belong."""
    place_of = {slot: place for place, slot in enumerate(slots_N.tolist())}
    pinned = [(pin.index, place_of[pin.slot]) for pin in pins]
    others = order_N[~np.isin(order_N, [place for _, place in pinned])][:limit]
    return np.array(placed(others.tolist(), pinned, limit), np.int64)
