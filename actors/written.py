"""Owns an answer as JSON: written from pieces that are encoded once per state of a room. Never chooses rooms.

Most of a room's JSON is the same in every answer until its next state; only age, score and reason differ. Encoding the
pieces with the same records as everywhere else keeps the schema in one place: what is written here decodes to the
Answer that `shown.py` would have made.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.answer import Answer
from actors.room_table import Card
from actors.shown import Pick, Why, reason_of, saw_ms, shown_item

AGE = '"age_ms":'  # cannot occur in a text: there its quotes are escaped
SCORE = '"score":'


class _Pieces(msgspec.Struct, frozen=True):
    """A room's item up to its age, between age and score, and the reason if it was visited before."""

    card: Card
    saw_ms: int
    before_age: str
    before_score: str
    visited: str


class Written:
    """Writes answers. Keeps the pieces of one state per slot. The caller holds the tables' lock."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._pieces: dict[int, _Pieces] = {}

    def answer(self, answer: Answer, picks: Sequence[Pick], anchor: str) -> bytes:
        """The answer with these rooms instead of its own, which are none. anchor: as for `reason_of`."""
        now_ms = answer.generated_at_ms
        similar = self._why(Why("similar", reason_of("similar", "", anchor)))
        trending = self._why(Why("trending", reason_of("trending", "", "")))
        new = self._why(Why("new", reason_of("new", "", "")))
        whys = {"similar": similar, "trending": trending, "new": new}
        items = []
        for pick in picks:
            card = pick.card
            pieces = self._pieces.get(card.slot)
            if pieces is None or pieces.card is not card:
                pieces = self._pieces[card.slot] = self._cut(card)
            age_ms = now_ms - pieces.saw_ms
            why = pieces.visited if pick.source == "visited" else whys[pick.source]
            items.append(f"{pieces.before_age}{age_ms if age_ms > 0 else 0}{pieces.before_score}{pick.score!r}{why}")
        without_rooms = self._encoder.encode(answer)  # ends with `[]}`: the rooms are the last field
        return without_rooms[:-2] + ",".join(items).encode() + b"]}"

    def _cut(self, card: Card) -> _Pieces:
        at_ms, streamer = saw_ms(card), card.state.streamer
        whole = self._encoder.encode(shown_item(card, at_ms, 0.0, Why("new", ""))).decode()
        before_age, _, rest = whole.rpartition(AGE)
        between, _, _ = rest[1:].rpartition(SCORE)  # the age of its own moment is the digit 0
        visited = self._why(Why("visited", reason_of("visited", streamer, "")))
        return _Pieces(card, at_ms, before_age + AGE, between + SCORE, visited)

    def _why(self, why: Why) -> str:
        reason = self._encoder.encode(why.reason).decode()
        return f',"source":"{why.source}","reason":{reason}}}'
