"""An answer as JSON, joined from pieces that are encoded once per state of a room. Never chooses rooms.

Most of a room's JSON is the same in every answer until its next state; chat rate, age, score and reason differ. The
pieces are cut from the JSON of the records of `items.py`, so the schema is in one place: what is joined here
decodes to the Answer that these records would have made.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.recommend.answer.items import ChosenRoom, Why, about_of, as_item
from actors.recommend.schema import Answer, RankAnswer, ReasonSource
from actors.requests.reason_texts import ReasonTexts
from actors.spaces.content_space import Pieces, RoomSnapshot

CHAT = '"chat_per_minute":'
AGE = '"age_ms":'  # cannot occur in a text: there its quotes are escaped
SCORE = '"score":'


class AnswerJson:
    """Serialises answers. The caller holds the tables' lock."""

    def __init__(self, usual: ReasonTexts) -> None:
        """usual: the words of most reasons, which are kept with the pieces of a room."""
        self._usual = usual
        self._encode = msgspec.json.Encoder().encode
        self._model_version = ""
        self._between: dict[str, str] = {}  # the text between age and score, by encoder version

    def answer(
        self, answer: Answer | RankAnswer, chosen_rooms: Sequence[ChosenRoom], texts: ReasonTexts, version: str
    ) -> bytes:
        """The JSON of an answer with these rooms, and reasons in these words. answer: has no rooms of its own.

        version: whose vectors the rooms have, for the receipts.
        """
        now_ms = answer.generated_at_ms
        whys: dict[tuple[ReasonSource, str, str], str] = {}
        scores = (
            self._encode([chosen_room.score for chosen_room in chosen_rooms])[1:-1].decode().split(",")
        )  # a quarter of repr's time
        if version != self._model_version:
            self._model_version = version
            self._between.clear()
        items = []
        for chosen_room, score in zip(chosen_rooms, scores, strict=False):  # without rooms there is one empty score
            snapshot, source = chosen_room.snapshot, chosen_room.source
            pieces = snapshot.pieces
            if pieces is None:
                pieces = snapshot.pieces = self._cut(snapshot)
            between = self._between.get(pieces.encoder_version)
            if between is None:
                between = self._between[pieces.encoder_version] = self._before_score(snapshot)
            age_ms = now_ms - pieces.saw_ms
            if source == "visited" and texts is self._usual:
                why = pieces.visited
            else:
                because = source, about_of(chosen_room), chosen_room.rule
                why = whys.get(because) or whys.setdefault(because, self._why(texts, *because))
            said = f"{pieces.before_chat}{chosen_room.chat_per_minute}"
            items.append(f"{said}{pieces.before_age}{age_ms if age_ms > 0 else 0}{between}{score}{why}")
        without_rooms = self._encode(answer)  # ends with `[]}`: the rooms are the last field
        return b"%b%b]}" % (without_rooms[:-2], ",".join(items).encode())

    def _cut(self, snapshot: RoomSnapshot) -> Pieces:
        before_age, _, _ = self._whole(snapshot).rpartition(AGE)
        before_chat, _, after_chat = before_age.rpartition(CHAT)
        streamer = snapshot.state.streamer
        visited = self._why(self._usual, "visited", streamer)
        # The rate of its own moment is the digit 0.
        return Pieces(
            snapshot.saw_ms, before_chat + CHAT, after_chat[1:] + AGE, snapshot.state.encoder_version, visited
        )

    def _before_score(self, snapshot: RoomSnapshot) -> str:
        _, _, rest = self._whole(snapshot).rpartition(AGE)
        between, _, _ = rest[1:].rpartition(SCORE)  # the age of its own moment is the digit 0
        return between + SCORE

    def _whole(self, snapshot: RoomSnapshot) -> str:
        whole = as_item(snapshot, snapshot.saw_ms, 0.0, Why("new", ""), self._model_version, chat_per_minute=0)
        return self._encode(whole).decode()

    def _why(self, texts: ReasonTexts, source: ReasonSource, about: str, rule: str = "") -> str:
        reason = self._encode(texts.of(source, about)).decode()
        by_rule = f',"rule":{self._encode(rule).decode()}' if rule else ""
        return f',"source":"{source}","reason":{reason}{by_rule}}}'
