"""Reads JSON as other languages write it by default: null, numbers as ids, cut emoji. Never reads a valid record.

Mending keeps all of who, where, what and when: an id is never cut, an unknown action never guessed. docs/kafka.md
lists what is mended and what becomes a dead letter all the same.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_args

import msgspec
from msgspec import structs

from streaming.errors import MalformedRecord, UnknownVersion
from streaming.events import (
    MAX_AT_MS,
    MAX_LABEL_LENGTH,
    MAX_LANGUAGE_LENGTH,
    MAX_TAGS,
    MAX_TITLE_LENGTH,
    MIN_AT_MS,
    SCHEMA_VERSION,
    Action,
    ChatMessage,
    ProducerRecord,
    RoomEnded,
    ViewerEvent,
)
from streaming.record_format.grapheme import cut
from streaming.time_unit import in_ms

MAX_SHOWN: Final = 60  # characters of a value quoted in a reason
LAST_SECONDS: Final = 86_400.0
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?")
_TRUTHS: Final = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}

REASONS: Final = frozenset(
    ("null", "number_for_text", "text_for_number", "seconds", "microseconds", "nanoseconds", "fraction", "end_time",
     "broken_text", "no_type", "long_text", "many_tags", "list_shape", "other_truth", "letter_case", "byte_order_mark")
)  # fmt: skip

Mends = set[str]  # of REASONS: they are a metric's label


class Mender:
    """Lenient decoder of one topic's JSON, for values that the strict decoder refuses. For any thread."""

    def __init__(self, topic: str, records: Sequence[type[ProducerRecord]]) -> None:
        self._topic = topic
        self._types = {record.__struct_config__.tag: record for record in records}
        self._fields = {
            record: {field.encode_name: field.required for field in structs.fields(record)} for record in records
        }

    def read(self, value: bytes) -> tuple[Any, tuple[str, ...]]:
        """Decodes a record, and lists its mends. Raises MalformedRecord, UnknownVersion."""
        mends: Mends = set()
        found = _parsed(value, mends)
        if not isinstance(found, dict):
            raise MalformedRecord(f"{self._topic}: a JSON object is expected, not {_shown(found)}")
        version = found.get("v")
        if type(version) is float and version.is_integer():  # as Lua and R write all numbers
            version = found["v"] = int(version)
            mends.add("fraction")
        if type(version) is int and version != SCHEMA_VERSION:
            raise UnknownVersion(f"{self._topic}: schema version {str(version)[:20]}; this build reads version 1")
        kind = self._type_of(found, mends)
        fields: dict[str, Any] = {}
        for name, required in self._fields[kind].items():
            value_of = found.get(name)
            if kind is RoomEnded and name == "at_ms":
                fields[name] = _end_time(value_of, mends)
                continue
            if name not in found:
                continue
            if _is_absent(value_of, name):
                if required:
                    raise MalformedRecord(f"{self._topic}: `{name}` is null and has to be given")
                mends.add("null")
                continue
            try:
                fields[name] = self._field(kind, name, value_of, mends)
            except ValueError as err:
                raise MalformedRecord(f"{self._topic}: `{name}`: {err}") from err
        at_ms = fields.get("at_ms")
        if at_ms is None or at_ms >= MIN_AT_MS:
            return msgspec.convert(fields, kind), tuple(sorted(mends))
        # A time since the start of a recording is legal in a file, but not in the schema for producers.
        record = msgspec.convert({**fields, "at_ms": MIN_AT_MS}, kind)
        return structs.replace(record, at_ms=at_ms), tuple(sorted(mends))

    def _type_of(self, found: dict[Any, Any], mends: Mends) -> type[ProducerRecord]:
        if "type" not in found and "action" in found and self._types.get("viewer") is ViewerEvent:
            mends.add("no_type")  # nothing else has an action
            return ViewerEvent
        if "type" not in found and "viewer" in found and self._types.get("chat") is ChatMessage:
            mends.add("no_type")  # nobody speaks who is a viewer
            return ChatMessage
        name = found.get("type")
        kind = self._types.get(_lower(name, self._types, mends)) if isinstance(name, str) else None
        if kind is None:
            raise MalformedRecord(f"{self._topic}: `type` is {', '.join(map(str, self._types))}, not {_shown(name)}")
        return kind

    @staticmethod
    def _field(kind: type[ProducerRecord], name: str, value: Any, mends: Mends) -> Any:
        if name == "at_ms":
            return _time(value, mends)
        mend = _MENDED.get(name)
        return value if mend is None else mend(value, mends)


def _is_absent(value: Any, name: str) -> bool:
    """Whether a field is null, or the NaN that pandas writes for it. A null text counts as present, and empty."""
    return _is_null(value) and name != "text" and not (name == "at_ms" and value is not None)


def _is_null(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124  NaN


def _parsed(value: bytes, mends: Mends) -> Any:
    """Parses JSON. Raises ValueError, RecursionError, which the caller turns into MalformedRecord."""
    if value.startswith(b"\xef\xbb\xbf"):
        mends.add("byte_order_mark")
        value = value[3:]
    try:
        text = value.decode()
    except UnicodeDecodeError:
        if not value.lstrip().startswith(b"{"):  # rubbish, or UTF-16
            raise
        mends.add("broken_text")
        text = value.decode("utf-8", "replace")
    return json.loads(text)


def _id(value: Any, mends: Mends) -> Any:
    """Reads an id. It is never cut and never repaired, because it would become another one."""
    if isinstance(value, str):
        if not value.isascii() and (_is_broken(value) or ("\ufffd" in value and "broken_text" in mends)):
            raise ValueError(f"an id must be whole UTF-8, not {_shown(value)}")
        return value
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if type(value) is not int:
        raise ValueError(f"an id is a text or a whole number, not {_shown(value)}")
    mends.add("number_for_text")
    return str(value)


def _text(value: Any, mends: Mends, limit: int | None = None) -> str:
    if _is_null(value):
        mends.add("null")
        return ""
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        mends.add("number_for_text")
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(f"a text is expected, not {_shown(value)}")  # noqa: TRY004  it is the record's
    text: str = value
    if not text.isascii() and _is_broken(text):
        mends.add("broken_text")
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if limit is not None and len(text) > limit:
        mends.add("long_text")
        return cut(text, limit)
    return text


def _title(value: Any, mends: Mends) -> str:
    return _text(value, mends, MAX_TITLE_LENGTH)


def _label(value: Any, mends: Mends) -> str:
    return _text(value, mends, MAX_LABEL_LENGTH)


def _language(value: Any, mends: Mends) -> str:
    """Reads a language tag. One that is too long keeps its first subtags; without any, the language is unknown."""
    text = _text(value, mends)
    if len(text) <= MAX_LANGUAGE_LENGTH:
        return text
    mends.add("long_text")
    return text[: MAX_LANGUAGE_LENGTH + 1].rpartition("-")[0]


def _tags(value: Any, mends: Mends) -> list[str]:
    if isinstance(value, str):  # converters from XML to JSON write a list of one like this
        mends.add("list_shape")
        value = [value] if value.strip() else []
    elif isinstance(value, dict) and all(str(place).isdecimal() for place in value):  # an array of PHP or Lua
        mends.add("list_shape")
        value = list(value.values())
    if not isinstance(value, list):
        raise ValueError(f"a list of texts is expected, not {_shown(value)}")  # noqa: TRY004
    if any(map(_is_null, value)):
        mends.add("null")
        value = [tag for tag in value if not _is_null(tag)]
    if len(value) > MAX_TAGS:
        mends.add("many_tags")
    return [_label(tag, mends) for tag in value[:MAX_TAGS]]


def _truth(value: Any, mends: Mends) -> Any:
    if isinstance(value, bool):
        return value
    found = _TRUTHS.get(str(value).lower()) if type(value) in {int, float, str} else None
    if found is None:
        raise ValueError(f"true or false is expected, not {_shown(value)}")
    mends.add("other_truth")
    return found


def _number(value: Any, mends: Mends) -> Any:
    """Reads a number, also from text. Anything else is left for the strict check to refuse."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        mends.add("text_for_number")
        return int(value) if value.lstrip("-").isdecimal() else float(value)
    return value


def _time(value: Any, mends: Mends) -> int:
    """Reads a time as milliseconds; seconds, microseconds and nanoseconds are recognised by their size."""
    number = _number(value, mends)
    if type(number) not in {int, float} or not math.isfinite(number):
        raise ValueError(f"a whole number of milliseconds is expected, not {_shown(value)}")
    at_ms, unit = in_ms(number)
    if unit != "milliseconds":
        mends.add(unit)
    elif type(number) is float:
        mends.add("fraction")
    return at_ms


def _end_time(value: Any, mends: Mends) -> int:
    """Reads the time of an end, which counts whatever its clock. An invalid one becomes the time of its arrival."""
    found: Mends = set()
    try:
        at_ms = _time(value, found)
    except (ValueError, OverflowError):
        mends.add("end_time")
        return MAX_AT_MS  # RoomAggregate limits event times to the append time
    mends |= found
    return at_ms


def _seconds(value: Any, mends: Mends) -> Any:
    number = _number(value, mends)
    if type(number) in {int, float} and not number <= LAST_SECONDS:
        raise ValueError(f"at most {LAST_SECONDS:.0f} seconds; {_shown(value)} looks like milliseconds")
    return number


def _whole(value: Any, mends: Mends) -> Any:
    number = _number(value, mends)
    if type(number) is float and number.is_integer():
        mends.add("fraction")
        return int(number)
    return number


def _action(value: Any, mends: Mends) -> Any:
    return _lower(value, get_args(Action), mends) if isinstance(value, str) else value


def _lower(name: str, known: Any, mends: Mends) -> str:
    """Lowers the case of a known word: Java and protobuf write enumerations in capitals."""
    if name not in known and name.lower() in known:
        mends.add("letter_case")
        return name.lower()
    return name


def _is_broken(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


def _shown(value: Any) -> str:
    return ascii(value)[:MAX_SHOWN]


_MENDED: Final[Mapping[str, Callable[[Any, Mends], Any]]] = {
    "room": _id, "streamer": _id, "viewer": _id, "id": _id, "request_id": _id, "position": _whole,
    "text": _text, "title": _title, "category": _label, "language": _language, "tags": _tags,
    "mature": _truth, "seconds": _seconds, "action": _action,
}  # fmt: skip
