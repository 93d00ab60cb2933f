"""The order of rooms that a caller gives, for a viewer: each by the score that a recommendation has. Adds no room."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from actors.recommend.answer_items import ChosenRoom, as_items
from actors.recommend.answer_json import AnswerJson
from actors.recommend.recommender import Recommender
from actors.recommend.schema import RankAnswer, RankQuery
from actors.recommend.viewer_cache import CachedViewer
from streaming.events import RoomId, ViewerId


class GivenRooms:
    """Ranks given rooms. Touches no network; any thread may ask. What it answers is not noted as an impression.

    The room where the viewer is now is ranked as well, and so are mature rooms: the caller knows them. Rooms that the
    viewer's own rules forbid are not.
    """

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._answer_json = AnswerJson()

    def rank_json(self, query: RankQuery, request_id: str = "") -> bytes:
        """Every given room that is live, best first, and the names of the others: a RankAnswer as JSON.

        request_id: of the answer; "": it gets one of its own.
        """
        with self._recommender.tables.lock:
            answer, chosen_rooms = self._ranked(query, request_id)
            if not query.explain:
                return self._answer_json.answer(answer, chosen_rooms)
        items = as_items(chosen_rooms, answer.generated_at_ms, answer.model_version)
        return msgspec.json.encode(msgspec.structs.replace(answer, rooms=items))

    def _ranked(self, query: RankQuery, request_id: str) -> tuple[RankAnswer, list[ChosenRoom]]:
        """The answer, without its rooms, and these."""
        recommender, rooms = self._recommender, self._recommender.tables.rooms
        now_ms = recommender.now_ms()
        cached = recommender.viewer(ViewerId(query.viewer), now_ms, query.context)
        names = dict.fromkeys(query.rooms)
        never = recommender.scoring.never(query.viewer, cached)
        live = [
            snapshot.slot
            for name in names
            if (snapshot := rooms.snapshots.get(RoomId(name))) is not None and RoomId(name) not in never
        ]
        answer = RankAnswer(
            request_id=request_id or recommender.request_ids.next(),
            viewer=query.viewer,
            known=cached.interests.known,
            model_version=rooms.embeddings.version,
            generated_at_ms=now_ms,
            live_rooms=len(rooms),
            not_live=[name for name in names if RoomId(name) not in rooms.snapshots],
            never_shown=[name for name in names if RoomId(name) in never and RoomId(name) in rooms.snapshots],
            rooms=[],
        )
        return answer, self._chosen(live, cached, now_ms, explain=query.explain)

    def _chosen(self, live: Sequence[int], cached: CachedViewer, now_ms: int, *, explain: bool) -> list[ChosenRoom]:
        if not live:
            return []
        recommender = self._recommender
        slots_G = np.array(live, np.int64)
        scored = recommender.scoring.given(slots_G, cached, recommender.tables.rooms.embeddings, now_ms)
        places_G = np.flatnonzero(np.isin(scored.slots_K, slots_G))
        return recommender.chosen(scored, places_G, cached, explain=explain)
