"""Owns the answer: retrieve → filter → score → diversify → explain. Never reads the log or returns an ended room.

Version 0: the candidates of `candidates.py`, the score of `score.py`, the order of `diversity.py`. The room where the
viewer is now is never recommended to them. A viewer without a profile is a stranger: trending and newest rooms.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actors.answer import Answer, Filters, Item, Query, Receipt, Room
from actors.candidates import NO_FILTERS, Candidates
from actors.diversity import diversify
from actors.pools import Pools, largest
from actors.room_table import Card, RoomTable
from actors.score import Affinity, Score
from actors.shown import MODEL_VERSION, Why, reason_of, shown_item, shown_room
from actors.tables import Tables
from actors.taste import Taste, taste_of
from actors.weights import Weights
from streaming.clock import Clock
from streaming.errors import ConfigError, RecordError, UnknownRoom
from streaming.events import RoomId, ViewerId
from streaming.metrics import Metrics

__all__ = ["Answer", "Filters", "Item", "Query", "Receipt", "RecommendConfig", "Recommender", "Room", "Weights"]

MAX_TASTES = 20_000  # decoded tastes kept; some 2.5 KB each
POOL_PER_ITEM = 4  # of the best candidates, so many per item asked for take part in diversifying
TASTE_MS = 5_000  # a taste is read anew after this even without a new event: the rooms that it comes from move on


@dataclass(frozen=True, slots=True)
class RecommendConfig:
    """How version 0 finds and orders rooms."""

    weights: Weights = field(default_factory=Weights)
    nearest: int = 64  # candidates nearest to the viewer's recent rooms
    pool: int = 64  # candidates trending now, and as many newest
    renew_ms: int = 200  # how old the lists of trending and newest may be
    fresh_half_life_s: float = 600.0
    streamer_cost: float = 0.5  # what each further room of a streamer loses in the order
    category_cost: float = 0.02  # what each further room of a category loses in the order

    def __post_init__(self) -> None:
        for name in ("nearest", "pool", "renew_ms", "fresh_half_life_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"recommend.{name} is {getattr(self, name)}; it must be above 0")
        for name in ("streamer_cost", "category_cost"):
            if getattr(self, name) < 0:
                raise ConfigError(f"recommend.{name} is {getattr(self, name)}; it must be at least 0")


@dataclass(frozen=True, slots=True)
class _Held:
    """A taste and what it was read from."""

    taste: Taste
    affinity: Affinity
    raw: bytes
    read_ms: int
    basis: int


@dataclass(frozen=True, slots=True)
class _Found:
    """What led to the candidates of one query."""

    query: Query
    held: _Held
    visited: dict[int, float]
    near: set[int]


class Recommender:
    """Answers from the tables alone; touches no network. Any thread may ask."""

    def __init__(self, tables: Tables, config: RecommendConfig, metrics: Metrics, clock: Clock) -> None:
        self._tables = tables
        self._rooms: RoomTable = tables.rooms
        self._config = config
        self._metrics = metrics
        self._clock = clock
        half_life_ms = int(config.fresh_half_life_s * 1000)
        self._pools = Pools(len(tables.rooms.live_N), config.pool, half_life_ms, config.weights)
        self._candidates = Candidates(tables.rooms, self._pools, config.nearest)
        self._score = Score(tables.rooms, self._pools, config.weights)
        self._tastes: OrderedDict[ViewerId, _Held] = OrderedDict()

    def recommend(self, query: Query) -> Answer:
        """The rooms for one viewer."""
        return self.recommend_many([query])[0]

    def recommend_many(self, queries: Sequence[Query]) -> list[Answer]:
        """The rooms for several viewers, in the order asked; one scan of the index serves them all."""
        with self._tables.lock:
            now_ms = self._clock.now_ms()
            if now_ms - self._pools.renewed_ms >= self._config.renew_ms:
                self._pools.renew(self._rooms, now_ms)
            held = [self._taste(ViewerId(query.viewer), now_ms) for query in queries]
            nearest = self._candidates.nearest([one.taste for one in held])
            return [
                self._answer(query, one, near, now_ms) for query, one, near in zip(queries, held, nearest, strict=True)
            ]

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

    def _taste(self, viewer: ViewerId, now_ms: int) -> _Held:
        """The viewer's taste: read anew with a new profile, basis of the index or labels, and every TASTE_MS."""
        raw = self._tables.viewers.raw(viewer)
        if raw is None:
            self._metrics.count("strangers_total")
            return self._stranger()
        held = self._tastes.get(viewer)
        basis = self._rooms.basis_version
        if (
            held is not None
            and held.raw is raw
            and held.basis == basis
            and now_ms - held.read_ms < TASTE_MS
            and held.affinity.stands(self._rooms)
        ):
            return held
        try:
            profile = self._tables.viewers.decode(raw)
        except RecordError:
            self._metrics.count("undecodable_total", topic="viewer-profiles")
            self._tables.viewers.drop(viewer)
            return self._stranger()
        taste = taste_of(profile, self._rooms, self._rooms.trending.event_now_ms(now_ms))
        held = _Held(taste, Affinity(taste, self._rooms, self._config.weights), raw, now_ms, basis)
        self._tastes[viewer] = held
        self._tastes.move_to_end(viewer)
        if len(self._tastes) > MAX_TASTES:
            self._tastes.popitem(last=False)
        return held

    def _stranger(self) -> _Held:
        taste = Taste(known=False)
        return _Held(taste, Affinity(taste, self._rooms, self._config.weights), b"", 0, 0)

    def _answer(self, query: Query, held: _Held, nearest_K: NDArray[np.int64], now_ms: int) -> Answer:
        taste = held.taste
        visited = self._candidates.visited(taste)
        hidden = query.exclude if taste.room is None else [*query.exclude, taste.room]
        if query.filters == NO_FILTERS:
            slots_N = self._candidates.union(visited, taste, nearest_K, hidden)
        else:
            slots_N = self._candidates.union_filtered(visited, taste, query.filters, hidden)
        scores_N = self._score.of(slots_N, taste, held.affinity, visited)
        best_N = largest(scores_N, query.limit * POOL_PER_ITEM)
        slots, scores = slots_N[best_N], scores_N[best_N].tolist()
        chosen = diversify(
            scores,
            self._rooms.streamer_N[slots].tolist(),
            self._rooms.category_N[slots].tolist(),
            limit=query.limit,
            streamer_cost=self._config.streamer_cost,
            category_cost=self._config.category_cost,
        )
        found = _Found(query, held, visited, set(nearest_K.tolist()))
        items = [
            item for position in chosen if (item := self._item(int(slots[position]), scores[position], found, now_ms))
        ]
        return Answer(
            request=uuid.uuid4().hex,
            viewer=query.viewer,
            known=taste.known,
            model_version=MODEL_VERSION,
            generated_at_ms=now_ms,
            live_rooms=len(self._rooms),
            rooms=items,
        )

    def _item(self, slot: int, score: float, found: _Found, now_ms: int) -> Item | None:
        """The finished item; None, and counted, where the last check finds that the room is not live."""
        card = self._rooms.by_slot.get(slot)
        if card is None or self._rooms.cards.get(card.state.room) is not card:
            self._metrics.count("dead_rooms_returned_total")
            return None
        trending = bool(self._pools.trending_N[slot] * 2 > self._pools.fresh_N[slot])
        because = reason_of(
            card, found.held.taste, visited=slot in found.visited, near=slot in found.near, trending=trending
        )
        if found.query.explain:
            terms = self._score.terms(slot, found.held.taste, found.held.affinity, found.visited)
            because = Why(because.source, because.reason, terms)
        return shown_item(card, now_ms, score, because)
