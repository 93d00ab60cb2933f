"""Puts records that cannot be read, or are refused, on the dead-letter topic, and counts them. Never stops a loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from streaming.clock import Clock, SystemClock
from streaming.codec import Decoder, encode
from streaming.errors import RecordError, UnknownVersion
from streaming.events import DeadLetter
from streaming.log import Record, Sink
from streaming.metrics import Metrics
from streaming.topics import DEAD_LETTER

MAX_VALUE_BYTES = 65_536  # a megabyte of rubbish is recognised by its beginning, and may be one of many
MAX_KEY_BYTES = 1_024
MAX_ERROR_LENGTH = 500
DECODED_AT_ONCE = 512  # of 5,000 at once the first are out of the cache when the last are decoded: half as much again


class DeadLetters:
    """Where a reader sends what it cannot use. For the thread of its sink; written with the sink's next flush."""

    def __init__(self, sink: Sink, metrics: Metrics, clock: Clock | None = None) -> None:
        self._sink = sink
        self._metrics = metrics
        self._clock = clock or SystemClock()

    def refuse(self, record: Record, error: Exception | str) -> None:
        """Writes where the record stood, what it was and why it is refused, and counts it by topic and reason.

        A value longer than MAX_VALUE_BYTES is cut; the error then says how long it was. Raises what the sink raises.
        """
        text = str(error)[:MAX_ERROR_LENGTH]
        value, key = record.value, record.key
        if value is not None and len(value) > MAX_VALUE_BYTES:
            text += f" [value cut from {len(value)} to {MAX_VALUE_BYTES} bytes]"
            value = value[:MAX_VALUE_BYTES]
        if key is not None and len(key) > MAX_KEY_BYTES:
            text += f" [key cut from {len(key)} to {MAX_KEY_BYTES} bytes]"
            key = key[:MAX_KEY_BYTES]
        letter = DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=key,
            value=value,
            error=text.encode("utf-8", "replace").decode(),  # an error may quote a lone surrogate
            at_ms=self._clock.now_ms(),
        )
        self._sink.send(DEAD_LETTER, None, encode(letter))
        self._metrics.count("dead_letters_total", topic=record.topic, reason=reason_of(error))

    def decoded(self, records: Sequence[Record], decode: Decoder) -> Iterable[tuple[Record, Any]]:
        """The records with what stands in them; refuses those that cannot be read, and those without a value.

        Some at a time, so that what was decoded is used while the processor still has it in its cache.
        """
        return chain.from_iterable(self._parts(records, decode))

    def _parts(self, records: Sequence[Record], decode: Decoder) -> Iterator[Iterable[tuple[Record, Any]]]:
        for start in range(0, len(records), DECODED_AT_ONCE):
            part = records[start : start + DECODED_AT_ONCE]
            try:
                yield zip(part, decode.all([record.value for record in part]), strict=True)
            except RecordError:
                yield self._readable(part, decode)

    def _readable(self, records: Sequence[Record], decode: Decoder) -> Iterator[tuple[Record, Any]]:
        for record in records:
            try:
                yield record, decode(record.value or b"")  # a tombstone says as little as no bytes do
            except RecordError as err:
                self.refuse(record, err)


def reason_of(error: Exception | str) -> str:
    """A bounded label: `unknown_version`, `malformed`, or `refused` for a record that was read but not accepted."""
    if isinstance(error, UnknownVersion):
        return "unknown_version"
    return "malformed" if isinstance(error, RecordError) else "refused"
