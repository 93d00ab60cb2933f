"""Live rooms by a text: by what is said in them now, and by their titles. Never encodes it, never looks at a viewer.

A room is compared by its content vector: two fifths its title with category and tags, three fifths what was said in its
last 30 seconds (`tables.title_weight`). A room whose streamer's id is the text itself comes first: an id says nothing
that could be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from actors.recommend.answer.items import Why, as_item
from actors.recommend.global_lists import TIE, largest
from actors.recommend.reasons import LIVE
from actors.recommend.recommender import Recommender
from actors.recommend.schema import Item, ReasonSource
from actors.requests.filters import NO_FILTERS, Filters
from actors.requests.room_filter import NONE, Slots
from actors.requests.text_vectors import TextVector
from actors.spaces.content_space import RoomSnapshot
from streaming.events import StreamerId

Floats = NDArray[np.float32]

LIKE = 0.25  # cosine from which a room is called like a text; of two things that differ MiniLM has .1, give or take .08
NAMED = 2.0  # more than a product of unit vectors, for a room whose streamer is asked for by the id


class SearchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Rooms in order, best first. text: as it was compared."""

    text: str
    encoder_version: str
    model_version: str
    generated_at_ms: int
    live_rooms: int
    cursor: str | UnsetType | None = UNSET  # for the next page, null after the last; where pages were asked for
    rooms: list[Item]


@dataclass(frozen=True, slots=True)
class Asked:
    """A search. text: readable. cursor: None where no pages are wanted."""

    text: str
    limit: int = 20
    filters: Filters = NO_FILTERS
    exclude_streamers: Sequence[str] = ()
    cursor: str | None = None


class Search:
    """Finds rooms. Touches no network; any thread may ask."""

    def __init__(self, recommender: Recommender, *, title_weight: float) -> None:
        """title_weight: `tables.title_weight`."""
        self._recommender = recommender
        self._rooms = recommender.tables.rooms
        self._title_weight = title_weight
        self._words = recommender.languages.english

    def found(self, asked: Asked, vector: TextVector) -> SearchAnswer:
        """Live rooms that the filters let through, most like the text first; those without a vector are not found.

        Ties break the same way in every replica. Raises RequestError: the cursor is not one for this text.
        """
        recommender, rooms = self._recommender, self._rooms
        with recommender.tables.lock:
            now_ms = recommender.now_ms()
            room_filter = recommender.candidates.filter
            page = None if asked.cursor is None else recommender.pages.open(asked.cursor, asked.text, asked.filters)
            hidden_H = room_filter.hidden((), asked.exclude_streamers)
            if page is not None:
                hidden_H = np.union1d(hidden_H, page.slots_H)
            slots_N, score_N = self._scored(asked.text, vector, room_filter.allowed(asked.filters, now_ms, hidden_H))
            best_L = largest(score_N.astype(np.float64) + TIE * rooms.tie_N[slots_N], asked.limit)
            slots_L = slots_N[best_L]
            said_L = rooms.lately.chat_per_minute(slots_L, now_ms)
            version = rooms.embeddings.version
            items = []
            for slot, score, said in zip(slots_L.tolist(), score_N[best_L].tolist(), said_L.tolist(), strict=True):
                snapshot = rooms.by_slot[slot]
                score, why = self._why(asked.text, vector, snapshot, score)  # noqa: PLW2901
                items.append(as_item(snapshot, now_ms, score, why, version, chat_per_minute=round(said)))
            return SearchAnswer(
                text=asked.text,
                encoder_version=vector.encoder_version,
                model_version=version,
                generated_at_ms=now_ms,
                live_rooms=len(rooms),
                cursor=UNSET if page is None else recommender.pages.after(page, slots_L, len(slots_N) - len(slots_L)),
                rooms=items,
            )

    def _scored(self, text: str, vector: TextVector, allowed: Slots) -> tuple[Slots, Floats]:
        """Those of the allowed rooms that can be compared, int64 [N], and their scores, float32 [N]."""
        rooms = self._rooms
        score_S = self._recommender.content.products(vector.vector_D, vector.encoder_version)
        named = [*(rooms.roster.of(StreamerId(text)) or {}).values()]
        score_S[np.array(named, np.int64) if named else NONE] = NAMED
        score_N = score_S[allowed]
        found_N = ~np.isnan(score_N)
        return allowed[found_N], score_N[found_N]

    def _why(self, text: str, vector: TextVector, snapshot: RoomSnapshot, score: float) -> tuple[float, Why]:
        """The score as shown, and the reason: which of title and chat brought the room nearer to the text."""
        if score == NAMED:
            return 1.0, Why("named", self._words.of("named", snapshot.state.streamer))
        if score < LIKE:
            return round(score, 4), Why(LIVE, self._words.of(LIVE, ""))
        of_title = self._title_weight * _product(snapshot.state.title_vector, vector.vector_D)
        of_chat = (1 - self._title_weight) * _product(snapshot.state.chat_vector, vector.vector_D)
        source: ReasonSource = "said" if of_chat > of_title else "titled"
        return round(score, 4), Why(source, self._words.of(source, f'"{text}"'))


def _product(vector: bytes, query_D: Floats) -> float:
    """Product of a state's vector with a query; 0 where there is none."""
    vector_D = np.frombuffer(vector, "<f2")
    return float(vector_D.astype(np.float32) @ query_D) if len(vector_D) == len(query_D) else 0.0
