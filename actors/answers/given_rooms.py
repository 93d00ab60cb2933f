"""The order of rooms that a caller gives, for a viewer: each by the score that a recommendation has. Adds no room."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import UNSET

from actors.recommend.answer.as_json import AnswerJson
from actors.recommend.answer.items import ChosenRoom, as_items
from actors.recommend.recommender import Recommender
from actors.recommend.schema import RankAnswer, RankQuery
from actors.recommend.scoring import Plan, Scored
from actors.recommend.viewer_cache import CachedViewer
from actors.requests.reason_texts import ReasonTexts
from streaming.events import RoomId, ViewerId


class GivenRooms:
    """Ranks given rooms. Touches no network; any thread may ask. What it answers is not noted as an impression.

    The room where the viewer is now is ranked as well, and so are mature rooms: the caller knows them. Rooms that the
    viewer's own rules forbid are not, nor are those that operators' rules hide. Pins do not apply.
    """

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._answer_json = AnswerJson(recommender.languages.english)

    def rank_json(self, query: RankQuery, request_id: str = "") -> bytes:
        """Every given room that is live, best first, and the names of the others: a RankAnswer as JSON.

        request_id: of the answer; "": it gets one of its own. Raises RequestError: the goals' name is unknown.
        """
        with self._recommender.tables.lock:
            answer, chosen_rooms, texts = self._ranked(query, request_id)
            if not query.explain:
                return self._answer_json.answer(answer, chosen_rooms, texts, answer.model_version)
        items = as_items(chosen_rooms, answer.generated_at_ms, answer.model_version, texts)
        return msgspec.json.encode(msgspec.structs.replace(answer, rooms=items))

    def _ranked(self, query: RankQuery, request_id: str) -> tuple[RankAnswer, list[ChosenRoom], ReasonTexts]:
        """The answer, without its rooms, these, and the words of their reasons."""
        recommender, rooms = self._recommender, self._recommender.tables.rooms
        now_ms = recommender.now_ms()
        cached = recommender.viewer(ViewerId(query.viewer), now_ms, query.context)
        names = dict.fromkeys(query.rooms)
        never = recommender.scoring.never(query.viewer, cached)
        known = {name: snapshot.slot for name in names if (snapshot := rooms.snapshots.get(RoomId(name))) is not None}
        forbidden = [name for name in known if RoomId(name) in never]
        hidden = [name for name, slot in known.items() if slot in rooms.ruled.hidden and RoomId(name) not in never]
        live = [slot for name, slot in known.items() if RoomId(name) not in never and slot not in rooms.ruled.hidden]
        plan = recommender.plan(query.viewer, query.goals)
        scored = self._scored(live, cached, now_ms, query.viewer, plan)
        texts = recommender.languages.asked(query.reason_language, query.context, cached.interests.languages)
        answer = RankAnswer(
            goals_used=UNSET if scored is None else plan.goals.used(has_heads=scored.has_heads),
            goals_ignored=UNSET if scored is None else plan.goals.ignored(scored.ignored),
            goals_rule=plan.goals.by_rule,
            request_id=request_id or recommender.request_ids.next(),
            viewer=query.viewer,
            known=cached.interests.known,
            model_version=rooms.embeddings.version,
            generated_at_ms=now_ms,
            live_rooms=len(rooms),
            experiments=plan.treatment.named or UNSET,
            not_live=[name for name in names if RoomId(name) not in rooms.snapshots],
            never_shown=forbidden,
            hidden=hidden,
            rooms=[],
        )
        return answer, self._chosen(scored, live, cached, plan, explain=query.explain), texts

    def _scored(self, live: Sequence[int], cached: CachedViewer, now_ms: int, viewer: str, plan: Plan) -> Scored | None:
        """The given rooms among others, scored; None where none is live."""
        if not live:
            return None
        recommender, slots_G = self._recommender, np.array(live, np.int64)
        embeddings = recommender.tables.rooms.embeddings
        return recommender.scoring.given(viewer, slots_G, cached, embeddings, now_ms, plan=plan)

    def _chosen(
        self, scored: Scored | None, live: Sequence[int], cached: CachedViewer, plan: Plan, *, explain: bool
    ) -> list[ChosenRoom]:
        if scored is None:
            return []
        places_G = np.flatnonzero(np.isin(scored.slots_K, np.array(live, np.int64)))
        return self._recommender.chosen.at(places_G, scored, cached, plan.effects, explain=explain)
