"""The answer to a request: retrieve → filter → score → diversify → explain. Never reads the log or returns ended rooms.

The baseline ranker takes the candidates of `candidates.py`, the score of `baseline_score.py` and the order of
`diversity.py`. The room where the viewer is now is never recommended to them. A cold-start viewer gets trending and
newest rooms.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from actors.recommend.answer.as_json import AnswerJson
from actors.recommend.answer.chosen_rooms import ChosenRooms, as_whole
from actors.recommend.answer.items import ChosenRoom, Why, as_item, as_items, as_room
from actors.recommend.baseline_score import Score
from actors.recommend.candidates import Candidates
from actors.recommend.global_lists import GlobalLists, largest
from actors.recommend.impressions import Impressions
from actors.recommend.model_ranking import Ranking
from actors.recommend.reasons import LIVE, Reasons
from actors.recommend.rule_effects import RuleEffects
from actors.recommend.schema import Answer, Item, Query, Receipt, Room
from actors.recommend.scoring import Plan, Scored, Scoring
from actors.recommend.shadow_scoring import ShadowScoring
from actors.recommend.viewer_cache import COLD_START, CachedViewer, ViewerCache
from actors.recommend.warm_up import load as load_kernels
from actors.requests.context import Context
from actors.requests.filters import NO_FILTERS, Filters
from actors.requests.goals import AskedGoals, ConfiguredGoals
from actors.requests.pages import Page, Pages
from actors.requests.pull import Pull, Pulls
from actors.requests.reason_texts import ReasonLanguages, ReasonTexts
from actors.requests.request_ids import RequestIds
from actors.requests.room_filter import NONE
from actors.requests.text_vectors import TextVectors
from actors.requests.treatments import NONE as UNTREATED
from actors.requests.treatments import Treatments
from actors.settings import RecommendConfig, SearchConfig
from actors.spaces.content_space import RoomSnapshot
from actors.state.circuit_breaker import CircuitBreaker
from actors.state.content_index import ContentIndex
from actors.state.demands import Demands
from actors.state.room_embeddings import LiveEmbeddings, ModelEmbeddings
from actors.state.room_table import RoomTable
from actors.state.shown_memory import ShownMemory
from actors.state.shown_queue import ShownQueue
from actors.state.table_reader import Tables
from streaming.clock import Clock
from streaming.errors import UnknownRoom, VersionError
from streaming.events import MAX_ID_LENGTH, RoomId, ViewerId
from streaming.metrics import Metrics
from streaming.viewer.profile_config import ProfileConfig
from training.experiments import Experiment
from training.inference import warm_up

LOGGER = logging.getLogger(__name__)

__all__ = ["Answer", "Filters", "Item", "Query", "Receipt", "RecommendConfig", "Recommender", "Room"]

WARM_VIEWERS, WARM_ROOMS = 16, 60  # enough that every path has run and its memory is there
RENEW_PAUSE_S = 0.0005  # between slices of a renewal, for requests to be answered
PREPARE_S = 1.0  # between renewals of what a model prepares: half of its features are sums over a minute or more
REST = 10  # times its own duration that a renewal rests, at least: it takes 30 ms of processor time at 10,000 rooms
STALE_MS = 60_000  # after so long without a renewal, a request renews


class Recommender:
    """Answers requests from the tables alone; touches no network. Any thread may ask."""

    def __init__(
        self,
        tables: Tables,
        config: RecommendConfig,
        metrics: Metrics,
        clock: Clock,
        impressions: Impressions | None = None,
        *,
        profile: ProfileConfig | None = None,
        texts: TextVectors | None = None,
        experiments: Sequence[Experiment] = (),
        shown: ShownQueue | None = None,
    ) -> None:
        """impressions: where answers are noted; None: nowhere. profile: has the time after which presence ends.

        texts: the vectors of texts that answers are steered by; None: there will be none. experiments: those that run.
        shown: where what was shown waits for the other replicas, if they should know.
        """
        self.tables = tables
        self._impressions = impressions
        self.shown = ShownMemory(tables, config, shown) if config.shown_cost else None
        self._rooms: RoomTable = tables.rooms
        self._config = config
        self._clock = clock
        half_life_ms = int(config.fresh_half_life_s * 1000)
        mature = {"show_mature": config.show_mature}
        self.global_lists = GlobalLists(len(tables.rooms.live_N), config.pool, half_life_ms, config.weights, **mature)
        self.chosen = ChosenRooms(tables.rooms, self.global_lists, config, metrics)
        self.candidates = Candidates(tables.rooms, self.global_lists, config.nearest, **mature)
        by_terms = Score(tables.rooms, self.global_lists, config.weights)
        self._ranking = Ranking(tables.rooms, tables.lock, STALE_MS)
        self.failures = tables.rooms.failures = CircuitBreaker(config.failures, metrics)
        self.reasons = Reasons(
            tables.rooms,
            self.global_lists,
            by_terms,
            least=config.reason_least,
            new_ms=int(config.new_s * 1000),
            steer=config.steer,
        )
        demands = Demands(
            tables.rooms,
            1_000 * config.not_interested_half_life_s,
            config.not_interested_cost,
            shared_ids=config.shared_ids,
        )
        self.effects = RuleEffects(tables.rooms, self.global_lists)
        self.scoring = Scoring(
            self.candidates,
            by_terms,
            self.reasons,
            self._ranking,
            demands,
            effects=self.effects,
            goals=ConfiguredGoals.of(config),
            ranked=config.ranked,
            failures=self.failures,
            shown=None if self.shown is None else self.shown.table,
        )
        presence_ms = 1_000 * (profile or ProfileConfig()).presence_timeout_s
        self._viewers = ViewerCache(
            tables, self.candidates, config.weights, config.broad_category, metrics, presence_ms=presence_ms
        )
        self._shadow = ShadowScoring(tables, self._viewers, self.scoring, config.shadow, metrics)
        self.content = ContentIndex(tables.rooms)
        texts = TextVectors(SearchConfig(), clock) if texts is None else texts
        self._pulls = Pulls(tables.rooms, self.content, texts, config.steer)
        self.pages = Pages(tables.rooms)
        tables.on_forgotten.append(self._forget)
        self.languages = ReasonLanguages()
        self._answer_json = AnswerJson(self.languages.english)
        load_kernels()
        self.request_ids = RequestIds()
        self.experiments = tuple(experiments)
        with tables.lock:
            self._treatments = Treatments(experiments, tables.rules)

    def recommend(self, query: Query, request_id: str = "") -> Answer:
        """The rooms for one viewer.

        request_id: of the answer; "": it gets one of its own. Raises RequestError: the cursor is of another query, the
        steer is empty, or the version does not answer here.
        """
        with self.tables.lock:
            answer, chosen_rooms, texts = self._answered(query, request_id)
            items = as_items(chosen_rooms, answer.generated_at_ms, self._rooms.embeddings.version, texts)
            return msgspec.structs.replace(answer, rooms=items)

    def recommend_json(self, query: Query, request_id: str = "") -> bytes:
        """The rooms for one viewer, as JSON joined from kept pieces; a third of the time for an answer of 20 rooms.

        request_id, errors: as for `recommend`.
        """
        if query.explain:
            return msgspec.json.encode(self.recommend(query, request_id))
        with self.tables.lock:
            return self._answer_json.answer(*self._answered(query, request_id), self._rooms.embeddings.version)

    def recommend_news(self, query: Query, further: int, is_news: Callable[[NDArray[np.uint64]], bool]) -> bytes | None:
        """The rooms for one viewer as JSON where they are news to who asks, else None, and then nothing is noted.

        is_news: told the hashes of the rooms in order, uint64, up to `further` more of them than the query's limit.
        """
        with self.tables.lock:
            now_ms = self.now_ms()
            cached = self.viewer(ViewerId(query.viewer), now_ms, query.context)
            more = msgspec.structs.replace(query, limit=query.limit + further)
            plan = self.plan(query.viewer, query.goals, query.version)
            scored = self._scored(more, cached, now_ms, plan)
            places_L = self.chosen.places(scored, more.limit)
            if not is_news(self._rooms.id_hash_N[scored.slots_K[places_L]]):
                return None
            chosen_rooms = self.chosen.at(places_L[: query.limit], scored, cached, plan.effects, explain=query.explain)
            # a list that is watched would sink by being sent, and be sent anew for it
            answer = self._noted(query, cached, chosen_rooms, now_ms, plan, scored=scored, sinking=False)
            texts = self._words(query, cached)
            return self._answer_json.answer(answer, chosen_rooms, texts, self._rooms.embeddings.version)

    def check(self, query: Query) -> None:
        """Raises RequestError: the goals have a name that is not configured, or the version does not answer here."""
        with self.tables.lock:
            self.plan(query.viewer, query.goals, query.version)

    def keep_renewed(self, stop: threading.Event) -> None:
        """Renews what models prepare of all rooms, and scores in the shadow. A thread's loop until `stop`."""
        warm_up.compile_all()  # before a version needs them; the baseline ranker answers meanwhile
        rest_s = PREPARE_S
        while not stop.wait(rest_s):
            began_s = time.thread_time()  # processor time: on a busy replica most of a renewal is waiting
            try:
                self.renew()
                self._shadow.compare(self._clock.now_ms())
            except Exception:  # the next may do better; where none does, requests renew, and fail with the reason
                LOGGER.exception("what a model prepares of all rooms was not renewed")
            rest_s = max(PREPARE_S, REST * (time.thread_time() - began_s))

    def renew(self) -> None:
        """Prepares all rooms anew for the version in force and the one in the shadow. Called without the lock."""
        candidate = self._shadow.candidate
        beside = [] if candidate is None else [candidate]
        self._ranking.renew(_ranking([self._rooms.embeddings, *beside]), self._clock.now_ms(), RENEW_PAUSE_S)

    def warm(self, embeddings: LiveEmbeddings) -> None:
        """Has a version that is not in force score for the latest viewers. Raises VersionError: it gives no numbers."""
        self._ranking.renew(_ranking([embeddings]), self._clock.now_ms(), RENEW_PAUSE_S)
        with self.tables.lock:
            recent: dict[ViewerId, CachedViewer] = {ViewerId(""): COLD_START, **self._viewers.recent(WARM_VIEWERS)}
        for viewer, cached in recent.items():
            with self.tables.lock:
                now_ms = self.now_ms()
                other = self._viewers.under(embeddings, viewer, cached, now_ms)
                scored = self.scoring.of(Query(viewer="-", limit=WARM_ROOMS), other, embeddings, now_ms)
            if not np.isfinite(scored.values_K).all():  # also of a version that only has a viewer tower
                raise VersionError(f"version {embeddings.version} scores rooms with what is not a number")

    def shadow(self, candidate: LiveEmbeddings | None) -> None:
        """Has a share of the requests scored by this version too, from now on; None ends that."""
        if candidate is not None:
            self._ranking.renew(_ranking([candidate]), self._clock.now_ms(), RENEW_PAUSE_S)
        self._shadow.candidate = candidate

    def rooms(self, limit: int, filters: Filters = NO_FILTERS, exclude_streamers: Sequence[str] = ()) -> list[Room]:
        """Live rooms, largest audience first; ties break the same way at every limit and in every replica."""
        with self.tables.lock:
            now_ms = self._clock.now_ms()
            self.tables.rules.turn(now_ms)
            hidden_H = self.candidates.filter.hidden((), exclude_streamers)
            slots = self.candidates.filter.allowed(filters, now_ms, hidden_H)
            best = slots[largest(self._rooms.audience_N[slots] + self.candidates.ties(slots), limit)]
            by_slot, version = self._rooms.by_slot, self._rooms.embeddings.version
            said = self._chat(best, now_ms)
            return [
                as_room(by_slot[slot], now_ms, version, chat_per_minute=chat)
                for slot, chat in zip(best.tolist(), said, strict=True)
            ]

    def room(self, room: str) -> Room:
        """One live room. Raises UnknownRoom."""
        with self.tables.lock:
            now_ms, snapshot = self._clock.now_ms(), self._snapshot(room)
            (chat,) = self._chat([snapshot.slot], now_ms)
            return as_room(snapshot, now_ms, self._rooms.embeddings.version, chat_per_minute=chat)

    def similar(
        self, room: str, limit: int, filters: Filters = NO_FILTERS, exclude_streamers: Sequence[str] = ()
    ) -> list[Item]:
        """Live rooms nearest to a live room by content, without itself; none while it has no vector.

        Raises UnknownRoom. Among few rooms the nearest may not be like it: they are listed, and not called similar.
        """
        with self.tables.lock:
            now_ms = self._clock.now_ms()
            self.tables.rules.turn(now_ms)
            snapshot = self._snapshot(room)
            texts = self.languages.english
            alike = Why("similar", texts.of_similar_room(snapshot.state.streamer))
            other = Why(LIVE, texts.of(LIVE, ""))
            by_slot, version = self._rooms.by_slot, self._rooms.embeddings.version
            hidden_H = self.candidates.filter.hidden((room,), exclude_streamers)
            allowed = self.candidates.filter.allowed(filters, now_ms, hidden_H)
            found = self.candidates.similar(snapshot.slot, limit, self._rooms.embeddings, allowed)
            said = self._chat([slot for slot, _ in found], now_ms)
            least = self._config.reason_least
            return [
                as_item(by_slot[slot], now_ms, score, alike if score > least else other, version, chat_per_minute=chat)
                for (slot, score), chat in zip(found, said, strict=True)
            ]

    def viewer(self, viewer: ViewerId, now_ms: int, context: Context | None = None) -> CachedViewer:
        """The viewer's data in memory; of a cold-start viewer, but for their rules, where the viewer tower fails.

        context: counts where there is no profile. The caller holds the lock.
        """
        cached = self._surely_viewer(viewer, now_ms, context)
        if self.shown is not None:
            self.shown.meet(viewer, cached.raw, now_ms)
        return cached

    def _surely_viewer(self, viewer: ViewerId, now_ms: int, context: Context | None) -> CachedViewer:
        embeddings = self._rooms.embeddings
        if not isinstance(embeddings, ModelEmbeddings):
            return self._viewer(viewer, now_ms, context)
        try:
            return self._viewer(viewer, now_ms, context)
        except Exception as err:  # whatever a version does, a viewer has an answer
            self.failures.note(embeddings.version, err, now_ms)
            return self._viewers.rules_alone(viewer)

    def _forget(self, viewer: ViewerId, was_erased: bool) -> None:
        """Forgets a viewer of whom the tables know nothing any more. Called under their lock."""
        self._viewers.forget(viewer)
        if self.shown is not None:
            self.shown.forget(viewer)
        if not was_erased:  # thousands a second may end by silence, and what waits is looked through for each
            return
        self._shadow.forget(viewer)
        if self._impressions is not None:
            self._impressions.forget(viewer)

    def _viewer(self, viewer: ViewerId, now_ms: int, context: Context | None) -> CachedViewer:
        cached = self._viewers.of(viewer, now_ms)
        if context is None or cached.interests.known:
            return cached
        return self._viewers.of_context(context, viewer, now_ms)

    def _chat(self, slots: Sequence[int] | NDArray[np.int64], now_ms: int) -> list[int]:
        """Chat messages per minute in each room, as of now."""
        return as_whole(self._rooms.lately.chat_per_minute(np.asarray(slots, np.int64), now_ms))

    def _snapshot(self, room: str) -> RoomSnapshot:
        snapshot = self._rooms.snapshots.get(RoomId(room))
        if snapshot is None:
            raise UnknownRoom(f"room {room[:MAX_ID_LENGTH]!r} is not live; GET /v1/rooms lists the live rooms")
        return snapshot

    def now_ms(self) -> int:
        """The time of an answer in ms, with rules and global lists as of it. The caller holds the lock."""
        now_ms = self._clock.now_ms()
        self.tables.rules.turn(now_ms)
        if self._rooms.taken:
            self._forget_ended()
        if not 0 <= now_ms - self.global_lists.renewed_ms < self._config.renew_ms:  # a clock may be put back
            self.global_lists.renew(self._rooms, now_ms)
        return now_ms

    def _forget_ended(self) -> None:
        """Clears what is computed by slot where a new room took the slot: it is not as hot as the room before."""
        slots_N = np.array([*self._rooms.taken], np.int64)
        self._rooms.taken.clear()
        self.global_lists.forget(slots_N)
        self._ranking.forget(slots_N)

    def _answered(self, query: Query, request_id: str) -> tuple[Answer, list[ChosenRoom], ReasonTexts]:
        """An answer without its rooms, these in order, and the words of their reasons. Notes the first two if asked."""
        now_ms = self.now_ms()
        cached = self.viewer(ViewerId(query.viewer), now_ms, query.context)
        page = None if query.cursor is None else self.pages.open(query.cursor, query.viewer, query.filters)
        pull = None if query.steer is None else self._pulls.of(query.steer)
        plan = self.plan(query.viewer, query.goals, query.version)
        scored = self._scored(query, cached, now_ms, plan, page=page, pull=pull)
        places_L = self.chosen.places(scored, query.limit)
        chosen_rooms = self.chosen.at(places_L, scored, cached, plan.effects, explain=query.explain, pull=pull)
        answer = self._noted(
            query,
            cached,
            chosen_rooms,
            now_ms,
            plan,
            scored=scored,
            cursor=UNSET if page is None else self._cursor(query, cached, page, chosen_rooms, now_ms),
            first_position=1 if page is None else 1 + len(page.shown_X),
            pull=pull,
            request_id=request_id,
        )
        return answer, chosen_rooms, self._words(query, cached)

    def _words(self, query: Query, cached: CachedViewer) -> ReasonTexts:
        return self.languages.asked(query.reason_language, query.context, cached.interests.languages)

    def plan(self, viewer: str, goals: AskedGoals, version: str = "") -> Plan:
        """What an answer for a viewer is made with. The caller holds the lock.

        goals, version: of the request. Raises RequestError: no goals have that name, or the version is not here.
        """
        live, treatment = self._rooms.embeddings.version, UNTREATED
        if version or self._treatments:
            treatment = self._treatments.of(viewer, live, version)
        return self.scoring.plan(goals, treatment)

    def _noted(
        self,
        query: Query,
        cached: CachedViewer,
        chosen_rooms: Sequence[ChosenRoom],
        now_ms: int,
        plan: Plan,
        *,
        scored: Scored,
        cursor: str | UnsetType | None = UNSET,
        first_position: int = 1,
        pull: Pull | None = None,
        request_id: str = "",
        sinking: bool = True,
    ) -> Answer:
        """The answer with these rooms, still without them, noted where that is wanted: it will be shown.

        sinking: whether these rooms may sink for having been shown.
        """
        answer = Answer(
            request_id=request_id or self.request_ids.next(),
            viewer=query.viewer,
            known=cached.interests.known,
            model_version=plan.treatment.version or self._rooms.embeddings.version,
            generated_at_ms=now_ms,
            live_rooms=len(self._rooms),
            goals_used=plan.goals.used(has_heads=scored.has_heads),
            goals_ignored=plan.goals.ignored(scored.ignored),
            goals_rule=plan.goals.by_rule,
            experiments=plan.treatment.named or UNSET,
            cursor=cursor,
            steer=UNSET if pull is None else pull.became,
            rooms=[],
        )
        if pull is None:
            self._shadow.note(query)
        if query.shown and self._impressions is not None:
            self._impressions.note(answer, chosen_rooms, first_position, plan.treatment.noted)
        if sinking and query.shown and self.shown is not None:
            self.shown.note(ViewerId(query.viewer), [chosen.snapshot.slot for chosen in chosen_rooms], now_ms)
        return answer

    def _cursor(
        self, query: Query, cached: CachedViewer, page: Page, chosen_rooms: Sequence[ChosenRoom], now_ms: int
    ) -> str | None:
        """The cursor after a page of these rooms."""
        room_filter = self.candidates.filter
        hidden_H = room_filter.hidden(query.exclude, query.exclude_streamers, cached.interests.room)
        slots_L = np.array([chosen_room.snapshot.slot for chosen_room in chosen_rooms], np.int64)
        before_H = np.concatenate([hidden_H, page.slots_H, slots_L])
        return self.pages.after(page, slots_L, len(room_filter.allowed(query.filters, now_ms, before_H)))

    def _scored(
        self,
        query: Query,
        cached: CachedViewer,
        now_ms: int,
        plan: Plan,
        *,
        page: Page | None = None,
        pull: Pull | None = None,
    ) -> Scored:
        """The scored rooms. page: after which earlier ones; None: these are the first."""
        return self.scoring.surely(
            query,
            cached,
            self._rooms.embeddings,
            now_ms,
            shown_H=NONE if page is None else page.slots_H,
            before=0 if page is None else len(page.shown_X),
            pull=pull,
            plan=plan,
        )


def _ranking(versions: Sequence[LiveEmbeddings]) -> list[ModelEmbeddings]:
    """The embeddings whose version has a ranker."""
    return [one for one in versions if isinstance(one, ModelEmbeddings) and one.model.ranks]
