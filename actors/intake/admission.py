"""Checks producers' records as the workers will, and serialises those that pass as producers should. Never writes.

What a worker would put on dead-letter is refused here, with the same reason. What it would mend is mended here, so that
what is written follows the schema.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from msgspec import structs

from streaming.clock import Clock
from streaming.errors import RecordError
from streaming.events import RoomEnded, ViewerEvent
from streaming.log.codec import Decoder, encode
from streaming.log.dead_letter import reason_of
from streaming.log.topics import TOPICS
from streaming.metrics import Metrics
from streaming.time_unit import misplaced

# Records share a batch, which Kafka takes or refuses as a whole: by default up to 1 MB, of which kafka.batch_size may
# be full already. Before it is read a record may be longer: JSON may write three bytes of UTF-8 with six
MAX_RECORD_BYTES = 524_288
MAX_VALUE_BYTES = 2 * MAX_RECORD_BYTES
ID_BYTES = 12  # of a derived id: profiles compare 32 bits of its hash


class Refusal(NamedTuple):
    """Why a record is not taken. reason: a metric's label: malformed, unknown_version, refused or too_long."""

    reason: str
    what: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of the records of a request, by their index; those not named were taken as they are."""

    count: int
    refused: Mapping[int, Refusal]
    mended: Mapping[int, tuple[str, ...]]

    @property
    def accepted(self) -> int:
        """The number of records that were taken."""
        return self.count - len(self.refused)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The records to be written, as key and value in the order of the request, and what became of each."""

    records: Sequence[tuple[bytes, bytes]]
    receipt: Receipt


class Admission:
    """Checks the records of one topic. For any thread."""

    def __init__(self, topic: str, clock: Clock, metrics: Metrics) -> None:
        self._topic = topic
        self._clock = clock
        self._metrics = metrics
        self._decode = Decoder(topic)
        self._key_of = operator.attrgetter(TOPICS[topic].key)

    def check(self, values: Sequence[bytes], request_key: str = "") -> Admitted:
        """Checks the values of a request.

        request_key: its Idempotency-Key, from which viewer events without an id get one; "": they stay without.
        """
        now_ms = self._clock.now_ms()
        mended: dict[int, tuple[str, ...]] = {}
        refused: dict[int, Refusal] = {}
        records: list[tuple[bytes, bytes]] = []
        for index, found in enumerate(self._decoded(values, mended)):
            record = found
            if not isinstance(record, Refusal):
                record = self._written(record, now_ms, mended.get(index, ()), (request_key, index))
            if isinstance(record, Refusal):
                refused[index] = record
                mended.pop(index, None)
            else:
                records.append(record)
        return Admitted(records, Receipt(len(values), refused, mended))

    def count(self, receipt: Receipt) -> None:
        """Counts what became of the records of a request."""
        count, topic = self._metrics.count, self._topic
        if receipt.accepted:
            count("intake_records_total", receipt.accepted, topic=topic, outcome="accepted")
        for refusal in receipt.refused.values():
            count("intake_records_total", topic=topic, outcome=refusal.reason)
        for mends in receipt.mended.values():
            for reason in mends:
                count("records_mended_total", topic=topic, reason=reason)

    def _decoded(self, values: Sequence[bytes], mended: dict[int, tuple[str, ...]]) -> Sequence[Any]:
        """The record of each value, or why there is none."""
        if len(max(values, key=len, default=b"")) > MAX_VALUE_BYTES:
            return [
                _too_long(value) if len(value) > MAX_VALUE_BYTES else self._decoded_one(index, value, mended)
                for index, value in enumerate(values)
            ]
        try:
            return self._decode.all(values, mended)
        except RecordError:
            mended.clear()
        return [self._decoded_one(index, value, mended) for index, value in enumerate(values)]

    def _decoded_one(self, index: int, value: bytes, mended: dict[int, tuple[str, ...]]) -> Any:
        try:
            record, mends = self._decode.read(value)
        except RecordError as err:
            return self._refusal(err)
        if mends:
            mended[index] = mends
        return record

    def _written(
        self, record: Any, now_ms: int, mends: tuple[str, ...], place: tuple[str, int]
    ) -> tuple[bytes, bytes] | Refusal:
        """The key and value of a record that could be read, or why it is not taken."""
        if isinstance(record, RoomEnded):  # an end is believed whatever its clock says
            if "end_time" in mends:
                record = structs.replace(record, at_ms=now_ms)
        elif complaint := misplaced(record.at_ms, now_ms):
            return Refusal("refused", complaint)
        try:
            key, value = self._key_of(record).encode(), encode(record)
        except (RecordError, UnicodeError) as err:
            return self._refusal(err)
        if len(value) > MAX_RECORD_BYTES:
            return _too_long(value)
        if place[0] and isinstance(record, ViewerEvent) and not record.id:
            value = encode(structs.replace(record, id=derived_id(*place, value)))
        return key, value

    def _refusal(self, err: Exception) -> Refusal:
        reason = reason_of(err) if isinstance(err, RecordError) else "malformed"
        what = str(err).removeprefix(f"{self._topic}: ")
        return Refusal(reason, what.encode("utf-8", "replace").decode())  # it may quote a lone surrogate


def _too_long(value: bytes) -> Refusal:
    return Refusal("too_long", f"the record is {len(value)} bytes long")


def derived_id(request_key: str, index: int, value: bytes) -> str:
    """The id of an event without one: the same for a repetition, another for every other event.

    value: the event as it is without an id. It is part of the id because a key may come again with another body.
    """
    of = b"%s\0%d\0%s" % (request_key.encode(), index, value)
    return hashlib.blake2b(of, digest_size=ID_BYTES).hexdigest()
