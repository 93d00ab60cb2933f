"""What encoders have read of a room, and the changes between the one in front and a second."""

from __future__ import annotations

from msgspec import structs

from streaming.events import OtherContent
from streaming.room.reading import MOST_WAITING, Reading, Readings, RoomText
from streaming.room.window import ClosedSegment
from tests.unit.training.features.test_room_columns import state as room_state


def text(offset: int, *, short: bool = False) -> RoomText:
    return RoomText(f"text {offset}", offset, offset, 10 * offset, 20 * offset, short)


def read_by(*versions: str) -> Readings:
    """Readings with a title by each of these encoders, the first in front."""
    readings = Readings()
    readings.put_in_front(versions[0])
    readings.front.title_vector = b"of " + versions[0].encode()
    for version in versions[1:]:
        readings.put_second(version)
        assert readings.second is not None
        readings.second.title_vector = b"of " + version.encode()
    return readings


def test_an_encoder_that_comes_in_front_leaves_the_one_before_as_it_was() -> None:
    readings = read_by("a")
    assert readings.put_in_front("b")
    assert (readings.front.encoder_version, readings.front.title_vector) == ("b", b"")
    assert readings.second is readings.of("a")
    assert readings.second is not None
    assert (readings.second.title_vector, readings.second_reads) == (b"of a", False)


def test_the_second_encoder_comes_in_front_with_what_it_has_read_and_the_other_reads_no_more() -> None:
    readings = read_by("a", "b")
    assert readings.second_reads
    assert readings.put_in_front("b")
    assert (readings.front.title_vector, readings.second_reads) == (b"of b", False)
    assert not readings.put_in_front("b")


def test_an_encoder_that_has_read_nothing_is_not_kept() -> None:
    readings = Readings()
    readings.put_in_front("a")
    readings.put_second("b")
    readings.put_in_front("b")
    assert readings.second is None
    assert readings.of("a") is None


def test_a_third_encoder_takes_the_place_of_the_second() -> None:
    readings = read_by("a", "b")
    readings.put_second("c")
    assert (readings.of("b"), readings.second_reads) == (None, True)
    readings.put_second("a")
    assert readings.front.encoder_version == "a"
    assert not readings.second_reads, "the one in front reads; no second one does"


def test_a_published_second_reading_is_not_published_again() -> None:
    readings = read_by("a", "b")
    assert readings.second is not None
    readings.second.take_chat(text(5), b"v")
    assert readings.second.published_offset == -1
    readings.mark_published()
    assert readings.second.published_offset == 5


def test_where_offsets_were_forgotten_the_second_reading_forgets_them_too() -> None:
    other = OtherContent("b", title_vector=b"of b", vector_offset=700)
    state = structs.replace(room_state("r"), encoder_version="a", other=other)
    for chat_offset, expected in ((-1, -1), (900, 700)):
        readings = Readings()
        readings.restore(structs.replace(state, chat_offset=chat_offset))
        assert readings.second is not None
        assert readings.second.vector_offset == expected


def test_of_segments_that_wait_for_a_second_encoder_the_newest_are_kept() -> None:
    reading = Reading("b")
    for index in range(2 * MOST_WAITING):
        reading.want_segment(ClosedSegment(index, f"segment {index}", 0, index))
    assert [one.index for one in reading.waiting] == [*range(MOST_WAITING, 2 * MOST_WAITING)]
    assert not reading.settle_segment(0, b"v", 0.5)
    assert reading.settle_segment(MOST_WAITING, b"", 0.5)
    assert (reading.mean_vector, len(reading.waiting)) == (b"", MOST_WAITING - 1)


def test_a_short_text_is_provisional_and_an_older_one_is_not_taken() -> None:
    reading = Reading("a")
    assert reading.take_chat(text(3, short=True), b"short")
    assert (reading.vector_offset, reading.segment_end_ms, reading.appended_ms) == (-1, 30, 60)
    assert reading.take_chat(text(3), b"whole")
    assert not reading.take_chat(text(2), b"older")
    assert (reading.chat_vector, reading.vector_offset) == (b"whole", 3)


def test_a_reading_is_restored_as_it_was_published() -> None:
    reading = Reading("a")
    reading.take_chat(text(3), b"v")
    reading.title_vector, reading.title_hash, reading.mean_vector = b"t", 4, b"m"
    again = Reading.restored(reading.published(0))
    assert again.published(0) == reading.published(0)
    assert reading.published(1_000).appended_ms == 1_000
