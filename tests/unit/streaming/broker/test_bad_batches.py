"""A batch that cannot be read: its place is said, nothing moves past it unless that is wished."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.util import calc_crc32c

from streaming.broker.batches import BadBatch
from streaming.broker.fetched import FetchedRecords, KnownOfPartitions
from streaming.log.log import Record
from tests.unit.streaming.record_format.test_legacy_records import messages
from tests.unit.streaming.record_format.test_record_unpacker import HERE, START_MS, Line, batch

FIRST = 1_000
COUNT = 5  # batches of three records
ATTRIBUTES_AT, HEADER_BYTES = 21, 61
ZSTD, SNAPPY = 4, 2


def batches(codec: int = 0) -> list[bytes]:
    found: list[bytes] = []
    offset = FIRST
    for number in range(COUNT):
        data, offset = batch(
            [Line(b"k%d" % number, b"value %d" % at * 20, [], at, 0) for at in range(3)], offset, codec
        )
        found.append(data)
    return found


def rewritten(data: bytes, at: int, new: bytes) -> bytes:
    """With other bytes and the right checksum."""
    changed = bytearray(data)
    changed[at : at + len(new)] = new
    changed[17:21] = calc_crc32c(bytes(changed[ATTRIBUTES_AT:])).to_bytes(4, "big")
    return bytes(changed)


class Skips:
    """Hears what is passed over."""

    def __init__(self) -> None:
        self.said: list[tuple[int, int]] = []

    def __call__(self, there: Any, first: int, last: int, why: str) -> None:
        assert there == HERE
        assert why
        self.said.append((first, last))


def fetched(data: bytes, known: KnownOfPartitions | None = None, offset: int = FIRST) -> FetchedRecords:
    options = {"key_deserializer": None, "value_deserializer": None, "check_crcs": True, "aborted_transactions": []}
    isolation = IsolationLevel.READ_COMMITTED
    return FetchedRecords("t-", offset, HERE, MemoryRecords(data), known=known, isolation_level=isolation, **options)


def taken(records: FetchedRecords, size: int = 4) -> tuple[list[Record], BadBatch | None]:
    """Everything up to the end or to what cannot be read."""
    found: list[Record] = []
    try:
        while records:
            found += records.take(size)
    except BadBatch as err:
        return found, err
    return found, None


def keys(records: Sequence[Record]) -> list[bytes | None]:
    return [record.key for record in records]


@pytest.mark.parametrize("codec", [ZSTD, SNAPPY])
def test_a_codec_whose_package_is_missing_stops_before_the_batch_and_names_it(
    codec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, packed = batches(), batches(codec)
    for module in ("zstandard", "snappy"):
        monkeypatch.setitem(sys.modules, module, None)
    records = fetched(b"".join([plain[0], packed[1], plain[2]]))
    found, bad = taken(records)
    assert keys(found) == [b"k0"] * 3
    assert bad is not None
    assert (bad.offset, bad.kind) == (FIRST + 3, "codec")
    assert "package" in bad.why
    assert records.next_fetch_offset == FIRST + 3
    assert records.take(5) == []
    assert records.next_fetch_offset == FIRST + 3


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_an_unknown_codec_stops_even_where_damage_is_passed_over(codec: int) -> None:
    data = batches()
    data[1] = rewritten(data[1], ATTRIBUTES_AT + 1, bytes([codec]))
    skips = Skips()
    found, bad = taken(fetched(b"".join(data), KnownOfPartitions(skip=skips)))
    assert keys(found) == [b"k0"] * 3
    assert bad is not None
    assert (bad.offset, bad.kind) == (FIRST + 3, "codec")
    assert skips.said == []


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_a_damaged_payload_under_a_right_checksum_is_said_or_passed_over(codec: int) -> None:
    data = batches(codec)
    data[2] = rewritten(data[2], HEADER_BYTES + 2, b"\xff\xff\xff\xff")
    found, bad = taken(fetched(b"".join(data)))
    assert bad is not None
    assert (bad.offset, bad.kind, len(found)) == (FIRST + 6, "damaged", 6)
    skips = Skips()
    found, bad = taken(fetched(b"".join(data), KnownOfPartitions(skip=skips)))
    assert bad is None
    assert keys(found) == [b"k0"] * 3 + [b"k1"] * 3 + [b"k3"] * 3 + [b"k4"] * 3
    assert skips.said == [(FIRST + 6, FIRST + 8)]


def test_a_batch_that_says_it_holds_millions_of_records_is_damaged() -> None:
    data = rewritten(batches()[0], 57, (50_000_000).to_bytes(4, "big"))
    _, bad = taken(fetched(data))
    assert bad is not None
    assert "50000000 records" in bad.why


def test_the_end_of_the_log_bounds_what_is_believed() -> None:
    data = batches()
    far = (1 << 40).to_bytes(8, "big") + data[0][8:]
    _, bad = taken(fetched(far, KnownOfPartitions(highs={HERE: FIRST + 3})))
    assert bad is not None
    assert bad.offset == FIRST
    assert "the log ends at 1003" in bad.why
    assert bad.early


def test_after_damage_at_an_offset_a_batch_from_behind_it_is_not_taken_for_its_successor() -> None:
    data = batches()
    known = KnownOfPartitions(bad={(HERE, FIRST): (FIRST, FIRST)})
    found, bad = taken(fetched(data[1], known))
    assert found == []
    assert bad is not None
    assert bad.offset == FIRST
    assert taken(fetched(data[0], known)) == (taken(fetched(data[0]))[0], None)
    skips = Skips()
    skipping = KnownOfPartitions(bad=known.bad, skip=skips)
    assert keys(taken(fetched(data[1], skipping))[0]) == [b"k1"] * 3
    assert skips.said == [(FIRST, FIRST + 2)]


def test_two_damaged_places_are_passed_over_apart() -> None:
    data = batches()
    for wrong in (1, 3):
        data[wrong] = data[wrong][:-2] + b"??"
    skips = Skips()
    found, bad = taken(fetched(b"".join(data), KnownOfPartitions(skip=skips)))
    assert bad is None
    assert keys(found) == [b"k0"] * 3 + [b"k2"] * 3 + [b"k4"] * 3
    assert skips.said == [(FIRST + 3, FIRST + 5), (FIRST + 9, FIRST + 11)]


FLIPS = st.tuples(st.integers(0, COUNT - 1), st.integers(0, 10_000), st.integers(1, 255))


@given(st.sampled_from([0, 1, 2, 3, 4]), FLIPS, st.booleans())
def test_a_changed_byte_anywhere_loses_nothing_without_a_word(
    codec: int, flip: tuple[int, int, int], skip: bool
) -> None:
    """But for the first batch's own first offset: what a fetch begins with has nothing before it to be compared to."""
    number, at, bits = flip
    data = batches(codec)
    originals = {record.offset: record for record in taken(fetched(b"".join(data)))[0]}
    changed = bytearray(data[number])
    at %= len(changed)
    changed[at] ^= bits
    data[number] = bytes(changed)
    skips = Skips()
    highs = {HERE: FIRST + 3 * COUNT}
    records = fetched(b"".join(data), KnownOfPartitions(highs=highs, skip=skips if skip else None))
    found, bad = taken(records)
    if number == 0 and at < 8:
        return
    assert all(originals[record.offset] == record for record in found)
    missing = originals.keys() - {record.offset for record in found}
    said = {offset for first, last in skips.said for offset in range(first, last + 1)}
    behind = (
        set()
        if bad is None and records.next_fetch_offset == FIRST + 15
        else set(range(records.next_fetch_offset, FIRST + 15))
    )
    assert missing <= said | behind
    assert not said & {record.offset for record in found}
    if bad is not None:
        assert bad.offset == FIRST + 3 * number
        assert records.next_fetch_offset == FIRST + 3 * number
    if skip and number < COUNT - 1 and at not in range(8, 12):  # behind the last nothing is there to go on with
        assert bad is None
        assert len(found) >= 12


def test_old_messages_stand_beside_new_batches() -> None:

    old = messages(1, SNAPPY, offset=FIRST - 1)
    found, bad = taken(fetched(old + b"".join(batches(ZSTD)), offset=FIRST - 5))
    assert bad is None
    assert [record.offset for record in found] == list(range(FIRST - 5, FIRST + 15))
    assert found[5].timestamp == START_MS
