"""Serialises records and decodes them. Never touches offsets, never talks to a broker."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from streaming.errors import MalformedRecord, RecordError, UnknownVersion
from streaming.events import SCHEMA_VERSION, InternalRecord, ProducerRecord
from streaming.log.topics import TOPICS, Topic
from streaming.record_format.mending import Mender

MAX_REASON_LENGTH: Final = 300  # a reason quotes the value, which may be a megabyte


class _JsonVersion(msgspec.Struct, frozen=True):
    v: int = SCHEMA_VERSION


class _ArrayVersion(msgspec.Struct, frozen=True, array_like=True):
    v: int = SCHEMA_VERSION


# An upgrade has two builds on one log for minutes, and may be rolled back: internal records of the version before and
# after are read as well, since fields are only appended. A field that a build does not know has its default again in
# what it writes.
READ_INTERNALLY: Final = tuple(range(max(1, SCHEMA_VERSION - 1), SCHEMA_VERSION + 2))

_JSON_ENCODER: Final = msgspec.json.Encoder()
_MSGPACK_ENCODER: Final = msgspec.msgpack.Encoder()
_JSON_VERSION: Final = msgspec.json.Decoder(_JsonVersion)
_ARRAY_VERSION: Final = msgspec.msgpack.Decoder(_ArrayVersion)

# What msgspec raises for bytes that are no record: its own errors, bad UTF-8, and nesting deeper than the C stack.
_NOT_A_RECORD: Final = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError)


def encode(record: ProducerRecord | InternalRecord) -> bytes:
    """Serialises a record: JSON for producers' records, a MessagePack array for internal ones.

    Raises MalformedRecord where a text cannot be encoded as UTF-8.
    """
    encoder: Any = _JSON_ENCODER if isinstance(record, ProducerRecord) else _MSGPACK_ENCODER
    try:
        return bytes(encoder.encode(record))
    except (UnicodeError, OverflowError) as err:
        raise MalformedRecord(f"{type(record).__name__} cannot be written: {err}") from err


class Reading(NamedTuple):
    """A record, and what was mended to read it: words of a bounded set, for a metric's label."""

    record: Any
    mended: tuple[str, ...] = ()


class Decoder:
    """Decodes the values of one topic. Built once, for any thread; about a microsecond a record.

    A producer's record that does not follow the schema is read a second time, ten times slower, by `Mender`.
    Tombstones (values of None) are the caller's: their meaning differs by topic.
    """

    def __init__(self, topic: str) -> None:
        self._topic = _topic(topic)
        self._format: Literal["json", "msgpack"] = self._topic.format
        self._decode: Any = _decoder(self._format, _union(self._topic))
        producers: Any = self._topic.records
        self._mender = Mender(topic, producers) if self._format == "json" else None
        self._read_versions = (SCHEMA_VERSION,) if self._format == "json" else READ_INTERNALLY

    def __call__(self, value: bytes) -> Any:
        """Decodes a value to one of the topic's record types. Raises MalformedRecord, UnknownVersion, nothing else."""
        return self.read(value).record

    def read(self, value: bytes) -> Reading:
        """Decodes a value as a call does, and returns what had to be mended as well."""
        try:
            record = self._decode(value)
        except _NOT_A_RECORD as err:
            return self._read_again(value, err)
        if record.v not in self._read_versions:
            raise UnknownVersion(self._unknown(record.v))
        return Reading(record)

    def all(self, values: Sequence[bytes | None], mended: dict[int, tuple[str, ...]] | None = None) -> list[Any]:
        """Decodes all values. Raises RecordError where one cannot be read; decode them one by one to find which.

        mended: receives, by index, what had to be mended.
        """
        decode = self._decode
        try:
            records = [decode(value) for value in values]
        except (*_NOT_A_RECORD, TypeError):
            return self._all_again(values, {} if mended is None else mended)
        for record in records:
            if record.v not in self._read_versions:
                raise UnknownVersion(self._unknown(record.v))
        return records

    def require_known_version(self, value: bytes) -> None:
        """Raises UnknownVersion for a record of a version that this build does not read. Looks at nothing else."""
        peek: Any = _JSON_VERSION if self._format == "json" else _ARRAY_VERSION
        try:
            version = peek.decode(value).v
        except _NOT_A_RECORD:
            return
        if version not in self._read_versions:
            raise UnknownVersion(self._unknown(version))

    def _all_again(self, values: Sequence[bytes | None], mended: dict[int, tuple[str, ...]]) -> list[Any]:
        records = []
        for place, value in enumerate(values):
            if value is None:
                raise MalformedRecord(f"{self._topic.name}: no value")
            record, mends = self.read(value)
            records.append(record)
            if mends:
                mended[place] = mends
        return records

    def _read_again(self, value: bytes, err: Exception) -> Reading:
        """Reads a value that the strict decoder has refused with `err`."""
        self.require_known_version(value)
        if self._mender is not None:
            try:
                return Reading(*self._mender.read(value))
            except RecordError:
                raise
            except _NOT_A_RECORD as still:
                err = still
        raise MalformedRecord(f"{self._topic.name}: {str(err)[:MAX_REASON_LENGTH]}") from err

    def _unknown(self, version: int) -> str:
        read = " and ".join(map(str, self._read_versions))
        return f"{self._topic.name}: schema version {str(version)[:20]}; this build reads version {read}"


def json_schema(topic: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a topic's values. For a MessagePack topic it describes the same array."""
    schema = msgspec.json.schema(_union(_topic(topic)))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": topic, **schema}


def _topic(name: str) -> Topic:
    try:
        return TOPICS[name]
    except KeyError as err:
        raise KeyError(f"no topic {name!r}; the topics are {', '.join(TOPICS)}") from err


def _union(topic: Topic) -> Any:
    return functools.reduce(operator.or_, topic.records)


def _decoder(format_: Literal["json", "msgpack"], types: Any) -> Any:
    return msgspec.json.Decoder(types).decode if format_ == "json" else msgspec.msgpack.Decoder(types).decode
