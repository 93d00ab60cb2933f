"""The rooms of an answer, out of scored ones: their order, and the reason of each. Never changes a score.

Every room is looked up here a last time: one that has ended since it was scored is left out, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from actors.recommend import diversity
from actors.recommend.answer.items import ChosenRoom, about_of
from actors.recommend.global_lists import GlobalLists
from actors.recommend.reasons import LIVE, STEERED
from actors.recommend.rule_effects import RuleEffects, placed
from actors.recommend.schema import ReasonSource
from actors.recommend.scoring import Scored
from actors.recommend.viewer_cache import CachedViewer
from actors.requests.pull import Pull
from actors.settings import RecommendConfig
from actors.spaces.content_space import RoomSnapshot
from actors.state.room_table import RoomTable
from streaming.metrics import Metrics
from training.content.spelling import language_key

NAMING = ("category", "language")  # reasons that name a label, which a room may lack


class ChosenRooms:
    """Chooses rooms and says why. The caller of every method holds the tables' lock."""

    def __init__(self, rooms: RoomTable, lists: GlobalLists, config: RecommendConfig, metrics: Metrics) -> None:
        self._rooms = rooms
        self._lists = lists
        self._config = config
        self._metrics = metrics

    def places(self, scored: Scored, limit: int) -> NDArray[np.int64]:
        """Places of the best scored rooms, spread over streamers and categories, with pinned ones where they belong."""
        if not scored.pins:
            return np.array(self._spread(scored, slice(None), limit), np.int64)
        place_of = {slot: place for place, slot in enumerate(scored.slots_K.tolist())}
        pinned = [(pin.index, place_of[pin.slot]) for pin in scored.pins if pin.slot in place_of]
        is_other_K = np.ones(len(scored.slots_K), np.bool_)
        is_other_K[[place for _, place in pinned]] = False
        others = np.flatnonzero(is_other_K)
        spread = others[self._spread(scored, others, limit)] if len(others) else others
        return np.array(placed(spread.tolist(), pinned, limit), np.int64)

    def at(
        self,
        places_L: NDArray[np.int64],
        scored: Scored,
        cached: CachedViewer,
        effects: RuleEffects,
        *,
        explain: bool,
        pull: Pull | None = None,
    ) -> list[ChosenRoom]:
        """The scored rooms at these places, in this order, each with its reason.

        effects: of the rules that the viewer is under. explain: with the terms of each score.
        """
        rooms = self._rooms
        slots_L, scores = scored.slots_K[places_L], scored.scores_K[places_L].tolist()
        sources = scored.causes(places_L)
        likes = self._likes(cached, slots_L, sources)
        pulled_by = [""] * len(sources)
        if pull is not None and rooms.dimension:
            pulled_by = pull.nearest(rooms.vectors_ND[slots_L])
        said = as_whole(self._lists.chat_per_minute_N[slots_L])
        chosen_rooms = []
        pinned = {pin.slot: pin.rule for pin in scored.pins}
        for slot, score, position, source, like, by, chat in zip(
            slots_L.tolist(), scores, places_L.tolist(), sources, likes, pulled_by, said, strict=True
        ):
            snapshot = rooms.by_slot.get(slot)
            if snapshot is None:  # the last check: is it live?
                self._metrics.count("dead_rooms_returned_total")
                continue
            source, about = _reason(source, snapshot, cached, like=like, origin=scored.origin, by=by)  # noqa: PLW2901
            rule = ""
            if slot in rooms.ruled.of and (by_rule := effects.reason(slot, pinned.get(slot))) is not None:
                source, about, rule = by_rule.source, by_rule.reason, by_rule.rule  # noqa: PLW2901
            terms = scored.terms(position) if explain else UNSET
            chosen_room = ChosenRoom(snapshot, score, source, chat_per_minute=chat, about=about, rule=rule, terms=terms)
            chosen_rooms.append(
                chosen_room
                if about_of(chosen_room) or source not in NAMING
                else msgspec.structs.replace(chosen_room, source=LIVE)
            )
        return chosen_rooms

    def _spread(self, scored: Scored, which: slice | NDArray[np.int64], limit: int) -> list[int]:
        """Positions of the best of some of the scored rooms."""
        rooms, slots_K = self._rooms, scored.slots_K[which]
        return diversity.diversify(
            scored.values_K[which],
            rooms.streamer_N[slots_K],
            rooms.category_N[slots_K],
            limit=limit,
            streamer_cost=self._config.streamer_cost,
            category_cost=self._config.category_cost,
        )

    def _likes(self, cached: CachedViewer, slots_L: NDArray[np.int64], sources: Sequence[ReasonSource]) -> list[str]:
        """Per similar room the visited streamer whose rooms it is most like; "" for none."""
        likes = [""] * len(sources)
        places = [place for place, source in enumerate(sources) if source == "similar"]
        if places:
            nearest = cached.likened.nearest(self._rooms.embeddings.content(slots_L[places]))
            for place, like in zip(places, nearest, strict=True):
                likes[place] = like
        return likes


def as_whole(rate_N: NDArray[np.float32]) -> list[int]:
    """Rates rounded to whole numbers, as answers show them."""
    whole: list[int] = np.rint(rate_N).astype(np.int64).tolist()
    return whole


def _reason(
    source: ReasonSource, snapshot: RoomSnapshot, cached: CachedViewer, *, like: str, origin: str, by: str
) -> tuple[ReasonSource, str]:
    """The source of a room's reason as this viewer is told it, and what it is about; "" for nothing.

    like: the streamer whom the room is like. origin: from where viewers come to it. by: what pulls it.
    """
    streamer = snapshot.state.streamer
    about = like if source == "similar" else origin if source == "others" else by if source == STEERED else ""
    if about in cached.interests.rules.blocked:  # whom they blocked, no reason names
        source, about = LIVE, ""
    own = source == "similar" and like == streamer  # then the reason is to have been there before
    if own or source == "visited":
        source = "followed" if streamer in cached.interests.followed else "visited"
    elif source == "language" and language_key(snapshot.state.language) in cached.interests.preferred:
        source = "preferred"
    return source, about
