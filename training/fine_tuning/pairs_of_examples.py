"""Pairs of texts that belong together, from examples: what an encoder is fine-tuned on. Never encodes, never learns.

A pair is made of what was said before a moment, so nothing later than the examples is in it. Three kinds: a room's chat
and its chat some minutes later, a room's title and its chat, and the chat of two rooms that one viewer visited, each as
the viewer entered (NoteLLM, arXiv 2403.01744: co-occurrence, the popular discounted). Beside each text of chat stands
its room's title, as it was then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streaming.room.window import SEGMENT_MS
from streaming.section import Count, CountOrZero, Positive, Section
from training.examples.dataset import CoVisits, ExampleSet, ExampleTexts
from training.fine_tuning.text_pairs import PairKind, TextPairs

NO_PLACE = -1


@dataclass(frozen=True, slots=True)
class PairsConfig(Section):
    """Which pairs of texts an encoder is fine-tuned on."""

    section: ClassVar[str] = "pairs"

    most: Count = 16_000  # pairs in all
    later_share: Annotated[float, Meta(ge=0, le=1)] = 0.4  # of them, of one room at two times
    title_share: Annotated[float, Meta(ge=0, le=1)] = 0.1  # of them, of title and chat
    nearest: Count = 2  # segments of 30 s between the two times of one room: at least
    farthest: Count = 10  # and at most
    covisit_s: Positive = 3_600.0  # visits of one viewer so close together make their rooms alike
    stale: CountOrZero = 4  # segments: what was said longer ago is not what the viewer found
    seed: CountOrZero = 7


def pairs_of_examples(examples: ExampleSet, config: PairsConfig, until_ms: int | None = None) -> TextPairs:
    """Pairs from the texts and visits of examples; the same for the same examples and settings. Raises TrainingError.

    until_ms: nothing that was said or visited from then on is in a pair: by those visits the version is judged.
    Where a kind has fewer than its share, the others do not take it over: a pair twice teaches little.
    """
    texts, rng = examples.texts(), np.random.default_rng(config.seed)
    rooms = _RoomTexts(texts, until_ms)
    wanted = [int(config.most * config.later_share), int(config.most * config.title_share)]
    made = [
        _later(rooms, wanted[0], config, rng),
        _title_pairs(rooms, wanted[1], rng),
        _covisits(rooms, examples, config.most - sum(wanted), config, rng),
    ]
    left_P, right_P = (np.concatenate([pair[side] for pair in made]).astype(np.int32) for side in (0, 1))
    kind_P = np.concatenate([np.full(len(pair[0]), kind, np.int8) for kind, pair in zip(PairKind, made, strict=True)])
    at_P = np.maximum(texts.segment_K[left_P], texts.segment_K[right_P])
    order_P = np.lexsort((right_P, left_P, kind_P, at_P))
    left_P, right_P = left_P[order_P], right_P[order_P]
    # a text that was said in two rooms is one text: it is no negative of itself
    _, used_T, row_2P = np.unique(texts.hash_K[np.stack([left_P, right_P])], return_index=True, return_inverse=True)
    used_T = np.concatenate([left_P, right_P])[used_T]
    row_2P = row_2P.reshape(2, -1).astype(np.int32)
    titles, title_P2 = _titles(texts, np.stack([left_P, right_P], axis=1))
    return TextPairs(
        texts=tuple(texts.texts[place] for place in used_T.tolist()),
        left_P=row_2P[0],
        right_P=row_2P[1],
        left_room_P=texts.room_K[left_P],
        right_room_P=texts.room_K[right_P],
        at_P=at_P[order_P],
        kind_P=kind_P[order_P],
        titles=titles,
        title_P2=title_P2,
    )


def _titles(texts: ExampleTexts, chat_P2: NDArray[np.int32]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The titles of these texts' rooms as they were known when each was said, and which of them each has."""
    title_P2 = _title_known(texts)[chat_P2]
    known_P2 = title_P2 != NO_PLACE
    _, first, row = np.unique(texts.hash_K[title_P2[known_P2]], return_index=True, return_inverse=True)
    result_P2 = np.full(chat_P2.shape, NO_PLACE, np.int32)
    result_P2[known_P2] = row
    return tuple(texts.texts[place] for place in title_P2[known_P2][first].tolist()), result_P2


def _title_known(texts: ExampleTexts) -> NDArray[np.int64]:
    """Of each text the newest title of its room before it, a room's texts being in their order; none for a title."""
    order_K = np.argsort(texts.room_K, kind="stable")
    room_K, is_title_K = texts.room_K[order_K], texts.segment_K[order_K] < 0
    newest_K = np.maximum.accumulate(np.where(is_title_K, np.arange(len(room_K)), NO_PLACE))
    known_K = (newest_K != NO_PLACE) & ~is_title_K & (room_K[newest_K] == room_K)
    result_K = np.full(len(room_K), NO_PLACE, np.int64)
    result_K[order_K[known_K]] = order_K[newest_K[known_K]]
    return result_K


Places = tuple[NDArray[np.intp], NDArray[np.intp]]


class _RoomTexts:
    """Where each room's title and segments stand among the texts."""

    def __init__(self, texts: ExampleTexts, until_ms: int | None) -> None:
        told_K = np.array([bool(text.strip()) for text in texts.texts], bool)
        self.until_ms = np.iinfo(np.int64).max if until_ms is None else until_ms
        told_K &= texts.segment_K < self.until_ms // SEGMENT_MS  # those that had closed
        self.chat = np.flatnonzero(told_K & (texts.segment_K >= 0))  # in order of room and time
        last_R = np.full(int(texts.room_K.max(initial=-1)) + 1, NO_PLACE)  # a room's last text of its chat
        np.maximum.at(last_R, texts.room_K[self.chat], self.chat)
        titles = np.flatnonzero(told_K & (texts.segment_K < 0))
        self.titles = titles[titles < last_R[texts.room_K[titles]]]  # later ones were written when that was said
        self.room_C, self.segment_C = texts.room_K[self.chat].astype(np.int64), texts.segment_K[self.chat]
        order_C = np.lexsort((self.segment_C, self.room_C))
        self.chat, self.room_C, self.segment_C = self.chat[order_C], self.room_C[order_C], self.segment_C[order_C]
        self.title_room_T = texts.room_K[self.titles].astype(np.int64)
        self._first = int(self.segment_C.min(initial=0))
        self._span = int(self.segment_C.max(initial=0)) - self._first + 2
        self._key_C = self.room_C * self._span + (self.segment_C - self._first)

    def range_of(
        self, room_N: NDArray[np.int64], first_N: NDArray[np.int64], end_N: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The places [first, end) in `chat` of rooms' segments first ≤ segment < end."""
        base_N = room_N * self._span
        bounds = [np.clip(one_N - self._first, 0, self._span - 1) for one_N in (first_N, end_N)]
        first, end = (np.searchsorted(self._key_C, base_N + bound_N) for bound_N in bounds)
        return first, end


def _later(rooms: _RoomTexts, wanted: int, config: PairsConfig, rng: np.random.Generator) -> Places:
    first_C, end_C = rooms.range_of(
        rooms.room_C, rooms.segment_C + config.nearest, rooms.segment_C + config.farthest + 1
    )
    able = np.flatnonzero(end_C > first_C)
    chosen = _sample(able, wanted, None, rng)
    other = rng.integers(first_C[chosen], end_C[chosen])
    return rooms.chat[chosen], rooms.chat[other]


def _title_pairs(rooms: _RoomTexts, wanted: int, rng: np.random.Generator) -> Places:
    """A title, and some segment of its room's chat; a title that was changed goes with what was said after it too."""
    none_T = np.zeros(len(rooms.titles), np.int64)
    first_T, end_T = rooms.range_of(rooms.title_room_T, none_T, none_T + np.iinfo(np.int32).max)
    counts_T = end_T - first_T
    titles = np.repeat(np.arange(len(rooms.titles)), counts_T)
    chats = np.concatenate([np.arange(a, b) for a, b in zip(first_T, end_T, strict=True)] or [np.zeros(0, np.intp)])
    chosen = _sample(np.arange(len(titles)), wanted, None, rng)
    return rooms.titles[titles[chosen]], rooms.chat[chats[chosen].astype(np.intp)]


def _covisits(
    rooms: _RoomTexts,
    examples: ExampleSet,
    wanted: int,
    config: PairsConfig,
    rng: np.random.Generator,
) -> Places:
    pairs: CoVisits = examples.covisits()
    near = (pairs.gap_s <= config.covisit_s) & (pairs.at_ms < rooms.until_ms)
    before_N, room_N = pairs.before[near].astype(np.int64), pairs.room[near].astype(np.int64)
    now_N = pairs.at_ms[near] // SEGMENT_MS
    then_N = (pairs.at_ms[near] - (1_000 * pairs.gap_s[near]).astype(np.int64)) // SEGMENT_MS
    streamers = examples.streamer_of_room
    count_S = np.bincount(np.concatenate([streamers[before_N], streamers[room_N]]), minlength=len(examples.streamers))
    weight_N = 1 / np.sqrt(count_S[streamers[before_N]] * count_S[streamers[room_N]].astype(float))
    sides = []
    for which_N, at_N in ((before_N, then_N), (room_N, now_N)):
        first_N, end_N = rooms.range_of(which_N, at_N - config.stale, at_N)  # the last that had closed by then
        sides.append(np.where(end_N > first_N, end_N - 1, NO_PLACE))
    able = np.flatnonzero((sides[0] != NO_PLACE) & (sides[1] != NO_PLACE))
    chosen = _sample(able, wanted, weight_N[able], rng)
    return rooms.chat[sides[0][chosen]], rooms.chat[sides[1][chosen]]


def _sample(
    able: NDArray[np.intp], wanted: int, weight_N: NDArray[np.float64] | None, rng: np.random.Generator
) -> NDArray[np.intp]:
    """At most `wanted` of these places, each once; with weights by Efraimidis and Spirakis (2006), in linear time."""
    if len(able) <= wanted:
        return able
    keys = np.log(1 - rng.random(len(able))) / (1.0 if weight_N is None else weight_N)
    chosen: NDArray[np.intp] = np.sort(able[np.argpartition(-keys, wanted)[:wanted]])
    return chosen
