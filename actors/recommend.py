"""Owns the answer: retrieve → filter → score → diversify → explain. Never reads the log or returns an ended room.

Version 0: the candidates of `candidates.py`, the score of `score.py`, the order of `diversity.py`. The room where the
viewer is now is never recommended to them. A viewer without a profile is a stranger: trending and newest rooms.
"""

from __future__ import annotations

import functools
import itertools
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from actors.answer import Answer, Filters, Item, Query, Receipt, Room, Source
from actors.candidates import NO_FILTERS, Candidates, Visited
from actors.diversity import diversify
from actors.impressions import Impressions
from actors.pools import Pools, largest
from actors.room_table import Card, RoomTable
from actors.score import Affinity, Score
from actors.shown import MODEL_VERSION, Pick, Why, reason_of, shown_item, shown_room
from actors.tables import Tables
from actors.taste import Taste, taste_of
from actors.weights import Weights
from actors.written import Written
from streaming.clock import Clock
from streaming.errors import ConfigError, RecordError, UnknownRoom
from streaming.events import RoomId, ViewerId
from streaming.metrics import Metrics

__all__ = ["Answer", "Filters", "Item", "Query", "Receipt", "RecommendConfig", "Recommender", "Room", "Weights"]

MAX_TASTES = 20_000  # decoded tastes kept; some 2.5 KB each
POOL_PER_ITEM = 3  # of the best candidates, so many per item asked for take part in diversifying
SCORE_DIGITS = 4  # the fifth says nothing of a room, and writing all 17 of a float takes as long as the rest of an item
TASTE_MS = 30_000  # a taste is read anew after this even without a new event: the rooms that it comes from move on


@dataclass(frozen=True, slots=True)
class RecommendConfig:
    """How version 0 finds and orders rooms."""

    weights: Weights = field(default_factory=Weights)
    nearest: int = 64  # candidates nearest to the viewer's recent rooms
    pool: int = 64  # candidates trending now, and as many newest
    renew_ms: int = 300  # how old the lists of trending and newest may be
    fresh_half_life_s: float = 600.0
    broad_category: str = "Just Chatting"  # the label of rooms about anything: it says little of a taste; "" for none
    streamer_cost: float = 0.5  # what each further room of a streamer loses in the order
    category_cost: float = 0.02  # what each further room of a category loses in the order
    lookup_timeout_ms: int = 20  # how long an answer waits for the profile of a viewer who was let go; 0: not at all
    lookups_in_flight: int = 64  # of a replica at a time; further viewers are served as strangers at once
    impressions: float = 0.25  # share of the answers, at random, that is written to the topic impressions; 0: none.
    # Each costs about a tenth of its answer's processor time, and to learn from a quarter of many is enough
    impressions_waiting: int = 10_000  # most that a replica keeps while Kafka is away; some 1 KB each

    def __post_init__(self) -> None:
        for name in ("nearest", "pool", "renew_ms", "fresh_half_life_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"recommend.{name} is {getattr(self, name)}; it must be above 0")
        for name in ("streamer_cost", "category_cost", "lookup_timeout_ms", "lookups_in_flight", "impressions_waiting"):
            if getattr(self, name) < 0:
                raise ConfigError(f"recommend.{name} is {getattr(self, name)}; it must be at least 0")
        if not 0 <= self.impressions <= 1:
            raise ConfigError(f"recommend.impressions is {self.impressions}; a share lies between 0 and 1")


@dataclass(slots=True)
class _Held:
    """A taste and what it was read from."""

    taste: Taste
    affinity: Affinity | None = None  # None: a stranger
    visited: Visited = field(default_factory=Visited)
    raw: bytes = b""
    read_ms: int = 0
    basis: int = 0


class _Found:
    """What of the viewer led to the candidates of one query."""

    def __init__(self, held: _Held, nearest: Callable[[], NDArray[np.int64]]) -> None:
        self._visited = held.visited.strengths
        self._liked = held.affinity.liked if held.affinity is not None and held.taste.anchor else None
        self._nearest = nearest
        self._near: set[int] | None = None

    def source(self, slot: int, category: int) -> Source | None:
        """The strongest of the viewer's own reasons for a room that hold; None where none does."""
        if slot in self._visited:
            return "visited"
        if self._liked is None:
            return None
        if category in self._liked:
            return "similar"
        if self._near is None:
            self._near = set(self._nearest().tolist())
        return "similar" if slot in self._near else None


STRANGER = _Held(Taste(known=False))


class Recommender:
    """Answers from the tables alone; touches no network. Any thread may ask."""

    def __init__(
        self,
        tables: Tables,
        config: RecommendConfig,
        metrics: Metrics,
        clock: Clock,
        impressions: Impressions | None = None,
    ) -> None:
        """impressions: where each answer is noted; None for nowhere."""
        self._tables = tables
        self._impressions = impressions
        self._rooms: RoomTable = tables.rooms
        self._config = config
        self._metrics = metrics
        self._clock = clock
        half_life_ms = int(config.fresh_half_life_s * 1000)
        self._pools = Pools(len(tables.rooms.live_N), config.pool, half_life_ms, config.weights)
        self._candidates = Candidates(tables.rooms, self._pools, config.nearest)
        self._score = Score(tables.rooms, self._pools, config.weights)
        self._tastes: OrderedDict[ViewerId, _Held] = OrderedDict()
        self._written = Written()
        self._request_prefix = secrets.token_hex(10)
        self._requests = itertools.count()

    def recommend(self, query: Query) -> Answer:
        """The rooms for one viewer."""
        with self._tables.lock:
            now_ms = self._now_ms()
            held = self._held(ViewerId(query.viewer), now_ms)
            anchor = held.taste.anchor
            picks = self._picks(query, held)
            items = [
                shown_item(
                    pick.card,
                    now_ms,
                    pick.score,
                    Why(pick.source, reason_of(pick.source, pick.card.state.streamer, anchor), pick.terms),
                )
                for pick in picks
            ]
            answer = self._answer(query, held, now_ms, items)
            if self._impressions is not None:
                self._impressions.note(answer, picks)
            return answer

    def recommend_json(self, query: Query) -> bytes:
        """The same as JSON, written from pieces that are kept; a third of the time for an answer of 20 rooms."""
        if query.explain:
            return msgspec.json.encode(self.recommend(query))
        with self._tables.lock:
            now_ms = self._now_ms()
            held = self._held(ViewerId(query.viewer), now_ms)
            picks = self._picks(query, held)
            answer = self._answer(query, held, now_ms, [])
            if self._impressions is not None:
                self._impressions.note(answer, picks)
            return self._written.answer(answer, picks, held.taste.anchor)

    def rooms(self, limit: int, filters: Filters = NO_FILTERS) -> list[Room]:
        """Live rooms, largest audience first."""
        with self._tables.lock:
            now_ms = self._clock.now_ms()
            slots = self._candidates.allowed(self._rooms.slots(), filters)
            best = slots[largest(self._rooms.audience_N[slots], limit)]
            return [shown_room(self._rooms.by_slot[slot], now_ms) for slot in best.tolist()]

    def room(self, room: str) -> Room:
        """One live room. Raises UnknownRoom."""
        with self._tables.lock:
            return shown_room(self._card(room), self._clock.now_ms())

    def similar(self, room: str, limit: int) -> list[Item]:
        """Live rooms nearest to a live room by content, it apart; none while it has no vector. Raises UnknownRoom."""
        with self._tables.lock:
            now_ms = self._clock.now_ms()
            card = self._card(room)
            query_1E = self._rooms.index.vectors(np.array([card.slot], np.int64))
            if not query_1E.size or np.isnan(query_1E[0, 0]):
                return []
            hits = self._rooms.index.search(query_1E, limit + 1)
            because = Why("similar", "similar to " + card.state.streamer)
            found = zip(hits.slots_QK[0].tolist(), hits.scores_QK[0].tolist(), strict=True)
            others = [(slot, score) for slot, score in found if slot >= 0 and slot != card.slot]
            return [shown_item(self._rooms.by_slot[slot], now_ms, score, because) for slot, score in others[:limit]]

    def _card(self, room: str) -> Card:
        card = self._rooms.cards.get(RoomId(room))
        if card is None:
            raise UnknownRoom(f"room {room!r} is not live; GET /v1/rooms lists the live rooms")
        return card

    def _now_ms(self) -> int:
        now_ms = self._clock.now_ms()
        if now_ms - self._pools.renewed_ms >= self._config.renew_ms:
            self._pools.renew(self._rooms, now_ms)
        return now_ms

    def _held(self, viewer: ViewerId, now_ms: int) -> _Held:
        """The viewer's taste: read anew with a new profile, basis of the index or labels, and every TASTE_MS."""
        raw = self._tables.viewers.raw(viewer)
        if raw is None:
            self._metrics.count("strangers_total")
            return STRANGER
        held = self._tastes.get(viewer)
        basis = self._rooms.basis_version
        if (
            held is not None
            and held.raw is raw
            and held.basis == basis
            and now_ms - held.read_ms < TASTE_MS
            and held.affinity is not None
            and held.affinity.stands(self._rooms)
        ):
            if not self._rooms.roster.stands(held.visited.version, held.taste.streamers):
                held.visited = self._candidates.visited(held.taste)
            return held
        try:
            profile = self._tables.viewers.decode(raw)
        except RecordError:
            self._metrics.count("undecodable_total", topic="viewer-profiles")
            self._tables.viewers.drop(viewer)
            return STRANGER
        taste = taste_of(profile, self._rooms, self._rooms.lately.event_now_ms(now_ms), self._config.broad_category)
        affinity = Affinity(taste, self._rooms, self._config.weights)
        held = _Held(taste, affinity, self._candidates.visited(taste), raw, now_ms, basis)
        self._tastes[viewer] = held
        self._tastes.move_to_end(viewer)
        if len(self._tastes) > MAX_TASTES:
            self._tastes.popitem(last=False)
        return held

    def _answer(self, query: Query, held: _Held, now_ms: int, items: list[Item]) -> Answer:
        return Answer(
            request=f"{self._request_prefix}{next(self._requests):012x}",
            viewer=query.viewer,
            known=held.taste.known,
            model_version=MODEL_VERSION,
            generated_at_ms=now_ms,
            live_rooms=len(self._rooms),
            rooms=items,
        )

    def _picks(self, query: Query, held: _Held) -> list[Pick]:
        """The chosen rooms in order."""
        taste, candidates, rooms = held.taste, self._candidates, self._rooms
        visited, alike_N = held.visited, candidates.alike(taste)
        if query.filters == NO_FILTERS:
            slots_N = candidates.union(visited, taste, alike_N)
        else:
            slots_N = candidates.union_filtered(visited, alike_N, query.filters)
        scores_N = self._score.of(slots_N, held.affinity, alike_N, visited)
        hidden = query.exclude if taste.room is None else [*query.exclude, taste.room]
        shown_N = candidates.may_be_shown(slots_N, query.filters, hidden)
        slots_N, scores_N = slots_N[shown_N], scores_N[shown_N]
        best_K = (-scores_N).argsort()[: query.limit * POOL_PER_ITEM]
        slots_K = slots_N[best_K]
        slots, scores = slots_K.tolist(), scores_N[best_K].astype(np.float64).round(SCORE_DIGITS).tolist()
        categories = rooms.category_N[slots_K].tolist()
        chosen = diversify(
            scores,
            rooms.streamer_N[slots_K].tolist(),
            categories,
            limit=query.limit,
            streamer_cost=self._config.streamer_cost,
            category_cost=self._config.category_cost,
        )
        found = _Found(held, functools.partial(candidates.nearest, alike_N))
        picks = []
        for position in chosen:
            slot = slots[position]
            card = rooms.by_slot.get(slot)
            if card is None:  # the last check: is it live?
                self._metrics.count("dead_rooms_returned_total")
                continue
            terms = self._score.terms(slot, held.affinity, alike_N, visited) if query.explain else UNSET
            source = found.source(slot, categories[position]) or self._pools.source(slot)
            picks.append(Pick(card, scores[position], source, terms))
        return picks
