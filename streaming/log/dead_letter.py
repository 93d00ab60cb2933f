"""Puts records that cannot be read, or are refused, on the dead-letter topic, and counts them. Never stops a loop."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Protocol

from streaming.clock import Clock, SystemClock
from streaming.errors import RecordError, UnknownVersion
from streaming.events import DeadLetter
from streaming.log.codec import Decoder, encode
from streaming.log.log import Record
from streaming.log.position_note import Once
from streaming.log.topics import DEAD_LETTER
from streaming.metrics import Metrics
from streaming.troubles import Skipped

LOGGER = logging.getLogger(__name__)
MAX_VALUE_BYTES = 65_536  # a megabyte of rubbish is recognised by its beginning, and may be one of many
MAX_KEY_BYTES = 1_024
MAX_ERROR_LENGTH = 500
DECODED_AT_ONCE = 512  # of 5,000 at once the first are out of the cache when the last are decoded: half as much again


class Sends(Protocol):
    """The part of a sink that letters need."""

    def send(self, topic: str, key: bytes | None, value: bytes | None, /) -> None:
        """Queues one record. Raises what the sink raises."""


class DeadLetters:
    """Takes the records that a reader cannot use. For the thread of its sink; written with the sink's next flush."""

    def __init__(self, sink: Sends, metrics: Metrics, clock: Clock | None = None, once: Once | None = None) -> None:
        """once: given where a restart reads records again, so that each is refused only once."""
        self._once = once
        self._sink = sink
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._said: set[tuple[str, str]] = set()  # topic and reason of what was logged already

    def refuse(self, record: Record, error: Exception | str) -> None:
        """Writes a record's place, key, value and the reason why it is refused; counts it by topic and reason.

        A value longer than MAX_VALUE_BYTES is cut; the error then states its length. Raises what the sink raises.
        """
        if self._once is not None and not self._once.is_first(record.topic, record.offset):
            return
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

    def note_mended(self, record: Record, mends: Sequence[str]) -> None:
        """Counts mended records by topic and reason, and logs the first of each.

        A record does not name its producer, so there is no count by producer. The log line gives its place and key.
        """
        for reason in mends:
            self._metrics.count("records_mended_total", topic=record.topic, reason=reason)
            if (record.topic, reason) not in self._said:
                self._said.add((record.topic, reason))
                LOGGER.warning(
                    "%s partition %d offset %d: mended (%s); docs/kafka.md says how its producer should write it. "
                    "Said once, records_mended_total counts",
                    record.topic, record.partition, record.offset, reason,
                )  # fmt: skip

    def lost(self, skipped: Skipped) -> None:
        """Writes which offsets were skipped and why; their records are lost. Raises what the sink raises."""
        unread = skipped if self._once is None else skipped.behind(self._once.read.get(skipped.topic, 0))
        if unread is None:
            return
        if self._once is None or self._once.is_first(unread.topic, unread.first):
            self._write_lost(unread)

    def lost_of_states(self, skipped: Skipped) -> None:
        """`lost` for a topic from which states are restored. Each restore writes it anew: no position is committed."""
        self._write_lost(skipped)

    def _write_lost(self, skipped: Skipped) -> None:
        letter = DeadLetter(
            topic=skipped.topic,
            partition=skipped.partition,
            offset=skipped.first,
            key=None,
            value=None,
            error=f"offsets {skipped.first} to {skipped.last} are lost: {skipped.why}"[:MAX_ERROR_LENGTH],
            at_ms=self._clock.now_ms(),
            last_offset=skipped.last,
        )
        self._sink.send(DEAD_LETTER, None, encode(letter))
        self._metrics.count("dead_letters_total", topic=skipped.topic, reason=skipped.cause)

    def decoded(self, records: Sequence[Record], decode: Decoder) -> Iterable[tuple[Record, Any]]:
        """Gives records with their decoded values; refuses those that cannot be read, and those without a value.

        They are decoded in groups, small enough to be used while they are in the processor's cache.
        """
        return chain.from_iterable(self._parts(records, decode))

    def _parts(self, records: Sequence[Record], decode: Decoder) -> Iterator[Iterable[tuple[Record, Any]]]:
        for start in range(0, len(records), DECODED_AT_ONCE):
            part = records[start : start + DECODED_AT_ONCE]
            mended: dict[int, tuple[str, ...]] = {}
            try:
                found = decode.all([record.value for record in part], mended)
            except RecordError:
                yield self._readable(part, decode)
                continue
            for place, mends in mended.items():
                self.note_mended(part[place], mends)
            yield zip(part, found, strict=True)

    def _readable(self, records: Sequence[Record], decode: Decoder) -> Iterator[tuple[Record, Any]]:
        for record in records:
            try:
                found, mends = decode.read(record.value or b"")  # a tombstone is refused as an empty value is
            except RecordError as err:
                self.refuse(record, err)
                continue
            if mends:
                self.note_mended(record, mends)
            yield record, found


def reason_of(error: Exception | str) -> str:
    """The reason as a bounded label: `unknown_version`, `malformed`, or `refused` for a record that could be read."""
    if isinstance(error, UnknownVersion):
        return "unknown_version"
    return "malformed" if isinstance(error, RecordError) else "refused"
