"""What encoders have read of a room: each one's vectors, and up to where. Never encodes, never sees a message.

One encoder's reading is in front. While another takes its place, there is a second. Vectors of two encoders lie in
spaces of their own, so a vector goes to the reading of the encoder that made it, and to no other.
"""

from __future__ import annotations

from dataclasses import dataclass

from streaming.events import OtherContent, RoomState
from streaming.room.vectors import updated_mean
from streaming.room.window import ClosedSegment

MOST_WAITING = 4  # closed segments that wait for a second encoder; older ones are left out of its mean


@dataclass(frozen=True, slots=True)
class RoomText:
    """A text of a room to be encoded, and the newest record in it. It comes back with its vector.

    hash: of the text. offset: newest record in the text. at_ms, appended_ms: newest event time and append time in it.
    short: only part of what the window would give; the rest follows.
    """

    text: str
    hash: int
    offset: int
    at_ms: int
    appended_ms: int
    short: bool = False


class Reading:
    """What one encoder has read. Attributes are the fields of OtherContent of the same names, and of RoomState.

    encoder_version: "" before the first vector. waiting: closed segments for the mean of an encoder that is second;
    those of the one in front are the chat's. published_offset: `vector_offset` of the last published state.
    """

    __slots__ = (
        "appended_ms", "chat_hash", "chat_vector", "encoder_version", "mean_vector", "published_offset",
        "segment_end_ms", "title_hash", "title_vector", "vector_offset", "waiting",
    )  # fmt: skip

    def __init__(self, encoder_version: str = "") -> None:
        self.encoder_version = encoder_version
        self.title_vector = self.chat_vector = self.mean_vector = b""
        self.title_hash = self.chat_hash = 0
        self.vector_offset = self.published_offset = -1
        self.segment_end_ms = self.appended_ms = 0
        self.waiting: list[ClosedSegment] = []

    @classmethod
    def restored(cls, state: RoomState | OtherContent) -> Reading:
        """The reading in a published state."""
        reading = cls(state.encoder_version)
        for name in OtherContent.__struct_fields__:
            setattr(reading, name, getattr(state, name))
        reading.published_offset = reading.vector_offset
        return reading

    @property
    def has_vectors(self) -> bool:
        """Whether the encoder has read anything of the room."""
        return bool(self.title_vector or self.chat_vector)

    def forget_title(self) -> None:
        """Drops the title's vector: there is no title any more."""
        self.title_vector, self.title_hash = b"", 0

    def take_chat(self, text: RoomText, vector: bytes) -> bool:
        """Takes the vector of a text of the chat. False where a newer text has one already.

        A short text's vector is provisional, and the whole text is still wanted: the final vector of a quiet room
        depends on the log only, not on how busy the encoder was.
        """
        if text.offset <= self.vector_offset:
            return False
        self.chat_vector, self.chat_hash = vector, text.hash
        if text.short:
            self.appended_ms = max(self.appended_ms, text.appended_ms)
            self.segment_end_ms = text.at_ms
        else:
            self.saw(text)
        return True

    def saw(self, text: RoomText) -> None:
        """Notes that the vector holds all of the chat up to this text."""
        self.vector_offset = text.offset
        self.appended_ms = max(self.appended_ms, text.appended_ms)
        self.segment_end_ms = text.at_ms

    def want_segment(self, segment: ClosedSegment) -> None:
        """Adds a closed segment to those that wait for a second encoder."""
        self.waiting = [*self.waiting, segment][-MOST_WAITING:]

    def settle_segment(self, index: int, vector: bytes, alpha: float) -> bool:
        """Takes the vector of a segment that waits, b"" to leave it out of the mean. False where it does not wait."""
        kept = [segment for segment in self.waiting if segment.index != index]
        if len(kept) == len(self.waiting):
            return False
        self.waiting = kept
        if vector:
            self.mean_vector = updated_mean(self.mean_vector, vector, alpha)
        return True

    def published(self, described_ms: int) -> OtherContent:
        """The reading as a state carries it beside another. described_ms: append time of a title that it has seen."""
        fields = {name: getattr(self, name) for name in OtherContent.__struct_fields__}
        return OtherContent(**{**fields, "appended_ms": max(self.appended_ms, described_ms)})


class Readings:
    """The readings of one room: that in front, and a second one where there is one.

    second_reads: whether the second encoder reads on. Else its vectors are what they were, and wait to be dropped.
    """

    __slots__ = ("front", "second", "second_reads")

    def __init__(self) -> None:
        self.front = Reading()
        self.second: Reading | None = None
        self.second_reads = False

    def of(self, encoder_version: str) -> Reading | None:
        """The reading of an encoder, None where there is none. "" is the one in front."""
        if encoder_version in ("", self.front.encoder_version):
            return self.front
        second = self.second
        return second if second is not None and second.encoder_version == encoder_version else None

    def put_in_front(self, encoder_version: str) -> bool:
        """Puts an encoder's reading in front, a new one where there is none. False where it was there already.

        The one that was in front becomes the second, if it has any vectors, and reads no more.
        """
        front = self.front
        if encoder_version == front.encoder_version:
            return False
        if not front.encoder_version:
            front.encoder_version = encoder_version
            return True
        self.front = self.of(encoder_version) or Reading(encoder_version)
        self.front.waiting, front.waiting = [], []
        if front.has_vectors:
            self.second = front
        elif self.second is self.front:
            self.second = None
        self.second_reads = False
        return True

    def put_second(self, encoder_version: str) -> None:
        """Has an encoder read the room beside the one in front. A second one of before gives it its place."""
        if self.of(encoder_version) is None:
            self.second = Reading(encoder_version)
        self.second_reads = self.second is not None and self.second.encoder_version == encoder_version

    def drop_second(self) -> bool:
        """Drops the second reading. False where there is none."""
        there, self.second, self.second_reads = self.second is not None, None, False
        return there

    def restore(self, state: RoomState) -> None:
        """Continues from a published state."""
        self.front = Reading.restored(state)
        self.second = None if state.other is None else Reading.restored(state.other)
        if self.second is not None:  # the offsets may have been forgotten: those of another topic
            self.second.vector_offset = min(self.second.vector_offset, state.chat_offset)

    def mark_published(self) -> None:
        """Notes that the readings are in a published state."""
        self.front.published_offset = self.front.vector_offset
        if self.second is not None:
            self.second.published_offset = self.second.vector_offset
