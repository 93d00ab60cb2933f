"""Owns an answer as JSON: written from pieces that are encoded once per state of a room. Never chooses rooms.

Most of a room's JSON is the same in every answer until its next state; only age, score and reason differ. The pieces
are cut from what the records of `shown.py` encode to, so the schema is in one place: what is written here decodes to
the Answer that these would have made.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec

from actors.answer import Answer
from actors.room_table import Card, Pieces
from actors.shown import Pick, Why, reason_of, saw_ms, shown_item

AGE = '"age_ms":'  # cannot occur in a text: there its quotes are escaped
SCORE = '"score":'


class Written:
    """Writes answers. The caller holds the tables' lock."""

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._trending = self._why(Why("trending", reason_of("trending", "", "")))
        self._new = self._why(Why("new", reason_of("new", "", "")))

    def answer(self, answer: Answer, picks: Sequence[Pick], anchor: str) -> bytes:
        """The answer with these rooms instead of its own, which are none. anchor: as for `reason_of`."""
        now_ms = answer.generated_at_ms
        whys = {
            "similar": self._why(Why("similar", reason_of("similar", "", anchor))),
            "trending": self._trending,
            "new": self._new,
        }
        scores = self._encode([pick.score for pick in picks])[1:-1].decode().split(",")  # a quarter of repr's time
        items = []
        for pick, score in zip(picks, scores, strict=False):  # without picks there is one empty score
            card, source = pick.card, pick.source
            pieces = card.pieces
            if pieces is None:
                pieces = card.pieces = self._cut(card)
            age_ms = now_ms - pieces.saw_ms
            why = pieces.visited if source == "visited" else whys[source]
            items.append(f"{pieces.before_age}{age_ms if age_ms > 0 else 0}{pieces.before_score}{score}{why}")
        without_rooms = self._encode(answer)  # ends with `[]}`: the rooms are the last field
        return b"%b%b]}" % (without_rooms[:-2], ",".join(items).encode())

    def _cut(self, card: Card) -> Pieces:
        at_ms, streamer = saw_ms(card), card.state.streamer
        whole = self._encode(shown_item(card, at_ms, 0.0, Why("new", ""))).decode()
        before_age, _, rest = whole.rpartition(AGE)
        between, _, _ = rest[1:].rpartition(SCORE)  # the age of its own moment is the digit 0
        visited = self._why(Why("visited", reason_of("visited", streamer, "")))
        return Pieces(at_ms, before_age + AGE, sys.intern(between + SCORE), visited)

    def _why(self, why: Why) -> str:
        reason = self._encode(why.reason).decode()
        return f',"source":"{why.source}","reason":{reason}}}'
