"""Makes JSON records of recorded rows, and checks that the topic's decoder accepts them. Never sends one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from streaming.errors import InputFileError, RecordError
from streaming.events import MAX_ID_LENGTH, Action
from streaming.log.codec import Decoder
from streaming.log.topic_check import MAX_MESSAGE_BYTES
from streaming.log.topics import CHAT, ROOMS, VIEWER_EVENTS
from streaming.recorded.formats.format import EVENT_ID, BadRow
from streaming.recorded.recorded_rooms import RecordedRooms, Selection
from streaming.recorded.recording import Kind

ROOM_TYPES = ("started", "updated", "ended")
ROOM_COLUMNS = ("type", "room", "streamer", "title", "category", "language", "tags", "mature")
VISIT_COLUMNS = ("viewer", "room", "streamer", "action", "seconds", EVENT_ID)
_TOPICS: Mapping[Kind, str] = {"chat": CHAT, "rooms": ROOMS, "viewer-events": VIEWER_EVENTS}
REFUSED = "refused on the log"
MOST_BYTES = MAX_MESSAGE_BYTES - 1_024  # of a value, leaving space for its key and Kafka's overhead
LONGEST_CHANNEL = MAX_ID_LENGTH - 16  # rooms append "-w", a window and a number

quoted = msgspec.json.Encoder().encode


def head(**values: Any) -> bytes:
    """The JSON of a record's known fields, without its time and without the closing brace."""
    return quoted({name: value for name, value in values.items() if value is not None})[:-1]


def lifecycle_head(values: Mapping[str, Any]) -> bytes:
    """`head` of a row of rooms. An end has nothing but its room."""
    kind = values["type"].lower()
    return head(**{**values, "type": kind}) if kind != "ended" else head(type=kind, room=values["room"])


def visit_head(values: Mapping[str, Any]) -> bytes:
    """`head` of a row of viewer events."""
    known = {"id" if name == EVENT_ID else name: value for name, value in values.items()}
    return head(type="viewer", **{**known, "action": values["action"].lower()})


class LogCheck:
    """Finds the selected rows of a recording that would become dead letters on the log."""

    def __init__(self, kind: Kind, selection: Selection) -> None:
        self._kind = kind
        self._selection = selection
        self._decoder = Decoder(_TOPICS[kind])

    def __call__(self, batch: dict[str, Any], rows_N: NDArray[np.int64]) -> list[BadRow]:
        window = batch["window"].to_numpy(zero_copy_only=False) if "window" in batch else None
        chosen = np.flatnonzero(self._selection.mask(batch["at_ms"], window))
        if not len(chosen):
            return []
        if len(chosen) < len(rows_N):
            batch = {
                name: array[chosen] if isinstance(array, np.ndarray) else array.take(chosen)
                for name, array in batch.items()
            }
            rows_N = rows_N[chosen]
        if self._kind == "chat":
            return _unnamed(batch, rows_N) + self._refused(_chat_values(batch), rows_N)
        columns = ROOM_COLUMNS if self._kind == "rooms" else VISIT_COLUMNS
        names = [name for name in columns if name in batch]
        bad: list[BadRow] = []
        values, numbers = [], []
        rows = zip(rows_N.tolist(), batch["at_ms"].tolist(), *(batch[name].to_pylist() for name in names), strict=True)
        for row, at_ms, *held in rows:
            known = dict(zip(names, held, strict=True))
            wrong = _wrong_room(row, known) if self._kind == "rooms" else _wrong_visit(row, known)
            if wrong is not None:
                bad.append(wrong)
                continue
            made = lifecycle_head(known) if self._kind == "rooms" else visit_head(known)
            values.append(b'%b,"at_ms":%d}' % (made, at_ms))
            numbers.append(row)
        return bad + self._refused(values, np.array(numbers, np.int64))

    def _refused(self, values: Sequence[bytes], rows_N: NDArray[np.int64]) -> list[BadRow]:
        try:
            self._decoder.all(values)
        except RecordError:
            return [bad for row, value in zip(rows_N.tolist(), values, strict=True) if (bad := self._asked(row, value))]
        if max(map(len, values), default=0) <= MOST_BYTES:
            return []
        return [bad for row, value in zip(rows_N.tolist(), values, strict=True) if (bad := _too_large(row, value))]

    def _asked(self, row: int, value: bytes) -> BadRow | None:
        try:
            self._decoder(value)
        except RecordError as err:
            return BadRow(row, REFUSED, f"would be refused on the log: {err}")
        return _too_large(row, value)


def check_derived(path: object, found: RecordedRooms, heads: Sequence[bytes]) -> None:
    """Checks the starts of derived rooms, whose names are longer than channels'. Raises InputFileError."""
    decode = Decoder(ROOMS)
    for name, made in zip(found.names, heads, strict=True):
        try:
            decode(made + b',"at_ms":0}')
        except RecordError as err:
            raise InputFileError(
                f"{path}: the room {name[:60]!a} that follows from it would be refused on the log: {err}"
            ) from err


def _chat_values(batch: Mapping[str, Any]) -> list[bytes]:
    place = "room" if "room" in batch else "channel"
    places, viewers = (_all_quoted(batch[name]) for name in (place, "viewer"))
    rows = zip(places, viewers, batch["text"].to_pylist(), batch["at_ms"].tolist(), strict=True)
    made = b'{"type":"chat","room":%b,"viewer":%b,"text":%b,"at_ms":%d}'
    return [made % (place, viewer, quoted(text), at_ms) for place, viewer, text, at_ms in rows]


def _too_large(row: int, value: bytes) -> BadRow | None:
    if len(value) <= MOST_BYTES:
        return None
    return BadRow(row, "too large for the log", f"is a record of {len(value):,} bytes; the log takes {MOST_BYTES:,}")


def _unnamed(batch: Mapping[str, Any], rows_N: NDArray[np.int64]) -> list[BadRow]:
    """Rows of channels whose names are too long to derive names of rooms."""
    if "room" in batch or max(map(len, batch["channel"].unique().to_pylist()), default=0) <= LONGEST_CHANNEL:
        return []
    said = "channel is {} characters long; rooms are named after it, and so it has 1 to {}"
    return [
        BadRow(row, "a channel that is too long", said.format(len(name), LONGEST_CHANNEL))
        for row, name in zip(rows_N.tolist(), batch["channel"].to_pylist(), strict=True)
        if len(name) > LONGEST_CHANNEL
    ]


def _all_quoted(ids: Any) -> list[bytes]:
    encoded = ids.dictionary_encode()
    known = [quoted(text) for text in encoded.dictionary.to_pylist()]
    return [known[index] for index in encoded.indices.to_pylist()]


def _wrong_room(row: int, values: Mapping[str, Any]) -> BadRow | None:
    if values["type"].lower() not in ROOM_TYPES:
        return BadRow(row, "an unknown type", f"type is {values['type']!a}; it is {', '.join(ROOM_TYPES)}")
    if values["type"].lower() != "ended" and not values.get("streamer"):
        return BadRow(row, "no streamer", "streamer is empty; a room that starts has one")
    return None


def _wrong_visit(row: int, values: Mapping[str, Any]) -> BadRow | None:
    if values["action"].lower() not in get_args(Action):
        said = f"action is {values['action']!a}; it is {', '.join(get_args(Action))}"
        return BadRow(row, "an unknown action", said)
    return None
