"""Owns the answer: retrieve → filter → score → diversify → explain. Never reads the log or returns an ended room."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from actors.answer import Answer, Filters, Item, Query, Receipt, Room, Source
from actors.diversity import diversify
from actors.pools import Pools, largest
from actors.room_table import Card, RoomTable
from actors.score import Weights, terms_of
from actors.tables import Tables
from actors.taste import STRANGER, Taste, taste_of
from streaming.clock import Clock
from streaming.errors import ConfigError, RecordError, UnknownRoom
from streaming.events import RoomId, StreamerId, ViewerId
from streaming.metrics import Metrics

__all__ = ["Answer", "Filters", "Item", "Query", "Receipt", "RecommendConfig", "Recommender", "Room", "UnknownRoom"]

MODEL_VERSION = "v0"
MAX_TASTES = 20_000  # decoded tastes kept; some 2.5 KB each
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


class Recommender:
    """Answers from the tables alone; touches no network. Any thread may ask."""

    def __init__(self, tables: Tables, config: RecommendConfig, metrics: Metrics, clock: Clock) -> None:
        self._tables = tables
        self._rooms: RoomTable = tables.rooms
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._pools = Pools(len(tables.rooms.live_N), config.pool, int(config.fresh_half_life_s * 1000))
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
            tastes = [self._taste(ViewerId(query.viewer), now_ms) for query in queries]
            nearest = self._nearest(tastes)
            return [
                self._answer(query, taste, near, now_ms)
                for query, taste, near in zip(queries, tastes, nearest, strict=True)
            ]

    def rooms(self, limit: int, filters: Filters | None = None) -> list[Room]:
        """Live rooms, largest audience first."""
        with self._tables.lock:
            now_ms = self._clock.now_ms()
            slots = self._allowed(self._rooms.slots(), filters or Filters())
            best = slots[largest(self._rooms.audience_N[slots], limit)]
            return [_room(self._rooms.by_slot[int(slot)], now_ms) for slot in best]

    def room(self, room: str) -> Room:
        """One live room. Raises UnknownRoom."""
        with self._tables.lock:
            return _room(self._card(room), self._clock.now_ms())

    def similar(self, room: str, limit: int) -> list[Item]:
        """Live rooms nearest to a live room by content, it apart; none while it has no vector. Raises UnknownRoom."""
        with self._tables.lock:
            now_ms = self._clock.now_ms()
            card = self._card(room)
            vector_1D = self._rooms.index.vectors(np.array([card.slot], np.int64))
            if not vector_1D.size or np.isnan(vector_1D[0, 0]):
                return []
            hits = self._rooms.index.search(vector_1D, limit + 1)
            why = Why("similar", f"similar to {card.state.streamer}")
            found = zip(hits.slots_QK[0].tolist(), hits.scores_QK[0].tolist(), strict=True)
            return [
                _item(self._rooms.by_slot[slot], now_ms, score, why)
                for slot, score in found
                if slot >= 0 and slot != card.slot
            ][:limit]

    def _card(self, room: str) -> Card:
        card = self._rooms.cards.get(RoomId(room))
        if card is None:
            raise UnknownRoom(f"room {room!r} is not live; GET /v1/rooms lists the live rooms")
        return card

    def _taste(self, viewer: ViewerId, now_ms: int) -> Taste:
        raw = self._tables.viewers.raw(viewer)
        if raw is None:
            self._metrics.count("strangers_total")
            return STRANGER
        held = self._tastes.get(viewer)
        if held is not None and held.raw is raw and now_ms - held.built_ms < TASTE_MS:
            return held.taste
        try:
            profile = self._tables.viewers.decode(raw)
        except RecordError:
            self._metrics.count("undecodable_total", topic="viewer-profiles")
            self._tables.viewers.drop(viewer)
            return STRANGER
        taste = taste_of(profile, self._rooms, now_ms)
        self._tastes[viewer] = _Held(raw, taste, now_ms)
        self._tastes.move_to_end(viewer)
        if len(self._tastes) > MAX_TASTES:
            self._tastes.popitem(last=False)
        return taste

    def _nearest(self, tastes: Sequence[Taste]) -> list[NDArray[np.int64]]:
        none = np.zeros(0, np.int64)
        nearest = [none] * len(tastes)
        asking = [(row, taste.vector_D) for row, taste in enumerate(tastes) if taste.vector_D is not None]
        if asking:
            queries_QD = np.stack([vector_D for _, vector_D in asking])
            hits = self._rooms.index.search(queries_QD, self._config.nearest)
            for (row, _), slots_K in zip(asking, hits.slots_QK, strict=True):
                nearest[row] = slots_K
        return nearest

    def _answer(self, query: Query, taste: Taste, nearest: NDArray[np.int64], now_ms: int) -> Answer:
        slots = self._candidates(query, taste, nearest)
        terms = terms_of(slots, taste, self._rooms, self._pools)
        weights = self._config.weights
        scores = np.zeros(len(slots), np.float32)
        for name, term in terms.items():
            scores += getattr(weights, name) * term
        order = diversify(
            scores.tolist(),
            self._rooms.streamer_N[slots].tolist(),
            self._rooms.category_N[slots].tolist(),
            limit=query.limit,
            streamer_cost=self._config.streamer_cost,
            category_cost=self._config.category_cost,
        )
        near = set(nearest.tolist())
        items = []
        for position in order:
            slot = int(slots[position])
            card = self._rooms.by_slot.get(slot)
            if card is None or self._rooms.cards.get(card.state.room) is not card:
                self._metrics.count("dead_rooms_returned_total")
                continue
            weighted = {name: float(getattr(weights, name) * term[position]) for name, term in terms.items()}
            why = _why(card, taste, weighted, slot in near)
            if query.explain:
                why = Why(why.source, why.reason, weighted)
            items.append(_item(card, now_ms, float(scores[position]), why))
        return Answer(
            request=uuid.uuid4().hex,
            viewer=query.viewer,
            known=taste is not STRANGER,
            model_version=MODEL_VERSION,
            generated_at_ms=now_ms,
            live_rooms=len(self._rooms),
            rooms=items,
        )

    def _candidates(self, query: Query, taste: Taste, nearest: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rooms of streamers visited before ∪ trending ∪ newest ∪ nearest, live and allowed; int64 [N], ascending."""
        rooms = self._rooms
        visited = [
            slot for streamer in taste.habits for slot in rooms.by_streamer.get(StreamerId(streamer), {}).values()
        ]
        everything = np.concatenate([self._pools.trending, self._pools.newest, nearest, np.array(visited, np.int64)])
        slots = np.unique(everything[everything >= 0])
        slots = slots[rooms.live_N[slots]]
        slots = self._allowed(slots, query.filters)
        hidden = [*query.exclude, taste.room] if taste.room else query.exclude
        out = [card.slot for room in hidden if (card := rooms.cards.get(RoomId(room))) is not None]
        return slots[~np.isin(slots, out)] if out else slots

    def _allowed(self, slots: NDArray[np.int64], filters: Filters) -> NDArray[np.int64]:
        rooms = self._rooms
        if filters.mature is not None:
            slots = slots[rooms.mature_N[slots] == filters.mature]
        if filters.language is not None:
            wanted = filters.language.lower()
            numbers = [n for label, n in rooms.languages.items() if _speaks(label.lower(), wanted)]
            slots = slots[np.isin(rooms.language_N[slots], numbers)]
        if filters.category is not None:
            wanted = filters.category.casefold()
            numbers = [n for label, n in rooms.categories.items() if label.casefold() == wanted]
            slots = slots[np.isin(rooms.category_N[slots], numbers)]
        return slots


@dataclass(frozen=True, slots=True)
class Why:
    """Why a room is in an answer. terms: what its score is the sum of, if that was asked for."""

    source: Source
    reason: str
    terms: dict[str, float] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class _Held:
    raw: bytes
    taste: Taste
    built_ms: int


def _speaks(language: str, wanted: str) -> bool:
    return language == wanted or language.startswith(wanted + "-")


def _why(card: Card, taste: Taste, weighted: dict[str, float], near: bool) -> Why:
    if weighted["visited"] > 0:
        return Why("visited", f"you visited {card.state.streamer} before")
    if near or weighted["category"] > 0:
        return Why("similar", f"similar to {taste.anchor}, where you were")
    if weighted["trending"] > weighted["fresh"]:
        return Why("trending", "trending now")
    return Why("new", "just started")


def _receipt(card: Card, now_ms: int) -> Receipt:
    state = card.state
    saw_ms = max(state.segment_end_ms, state.described_at_ms)
    return Receipt(
        segment_end_ms=state.segment_end_ms,
        servable_ms=card.servable_ms,
        age_ms=max(0, now_ms - saw_ms),
        encoder_version=state.encoder_version,
        model_version=MODEL_VERSION,
    )


def _room(card: Card, now_ms: int) -> Room:
    state = card.state
    return Room(
        room=state.room,
        streamer=state.streamer,
        title=state.title,
        category=state.category,
        language=state.language,
        tags=state.tags,
        mature=state.mature,
        started_at_ms=state.started_at_ms,
        audience=card.audience,
        chat_per_minute=2 * state.window_messages,
        receipt=_receipt(card, now_ms),
    )


def _item(card: Card, now_ms: int, score: float, why: Why) -> Item:
    state = card.state
    return Item(
        room=state.room,
        streamer=state.streamer,
        title=state.title,
        category=state.category,
        language=state.language,
        tags=state.tags,
        mature=state.mature,
        started_at_ms=state.started_at_ms,
        audience=card.audience,
        chat_per_minute=2 * state.window_messages,
        receipt=_receipt(card, now_ms),
        score=score,
        source=why.source,
        reason=why.reason,
        terms=why.terms,
    )
