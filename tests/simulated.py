"""A simulated platform as training and replicas meet it: an archive of its events, rooms folded from them."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaming.archive.file import ArchiveFile, hour_of
from streaming.archive.parquet import save, table_of
from streaming.archive.reader import Archive
from streaming.archive.store import open_store
from streaming.events import ChatMessage, RoomId, RoomState, Speech, ViewerEvent, ViewerId, ViewerProfile
from streaming.log.log import Partition
from streaming.log.memory_record import MemoryRecord
from streaming.recorded.playback import Event
from streaming.room.activity import ActivityBook
from streaming.room.room import RoomAggregate
from streaming.room.window_config import WindowConfig
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig
from training.content.encode_missing import Encoder


class WordEncoder:
    """A text is the sum of its words, each in a direction of its own: what is about the same has the same words."""

    version, dimension = "words/1", 64

    def __init__(self) -> None:
        self._words: dict[str, NDArray[np.float32]] = {}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """[N, dimension], of unit length."""
        vectors_ND = np.stack([np.sum([self._word(word) for word in text.lower().split()], axis=0) for text in texts])
        unit_ND: NDArray[np.float16] = (vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)).astype(
            np.float16
        )
        return unit_ND

    def _word(self, word: str) -> NDArray[np.float32]:
        known = self._words.get(word)
        if known is None:
            rng = np.random.default_rng(zlib.crc32(word.encode()))
            known = self._words[word] = rng.normal(size=self.dimension).astype(np.float32)
        return known


def archive_of(events: Sequence[Event], folder: Path) -> Archive:
    """Files as the Archiver would have written them: one a topic and hour, appended when they happened."""
    store = open_store(str(folder))
    files: dict[tuple[str, int], list[MemoryRecord]] = {}
    offsets: dict[str, int] = {}
    for event in events:
        offset = offsets[event.topic] = offsets.get(event.topic, -1) + 1
        record = MemoryRecord(event.topic, 0, offset, event.at_ms, event.key, event.value)
        files.setdefault((event.topic, hour_of(event.at_ms)), []).append(record)
    for (topic, hour), records in files.items():
        save(store, ArchiveFile(Partition(topic, 0), hour, records[0].offset, records[-1].offset), table_of(records))
    return Archive(store)


@dataclass
class AggregatedPlatform:
    """Everybody's folds, as the workers have them."""

    encoder: Encoder
    rooms: dict[str, RoomAggregate] = field(default_factory=dict)
    viewers: dict[str, ProfileAggregate] = field(default_factory=dict)
    book: ActivityBook = field(default_factory=ActivityBook)
    offset: int = 0

    def apply(self, events: Sequence[Event]) -> None:
        """In time order, each as soon as it happened."""
        for event in events:
            record = event.record
            self.offset += 1
            if isinstance(record, ViewerEvent):
                aggregate = self.viewers.setdefault(
                    record.viewer, ProfileAggregate(ViewerId(record.viewer), ProfileConfig())
                )
                aggregate.apply(record, record.at_ms, self.book)
            elif isinstance(record, ChatMessage | Speech):
                self._room(record.room).apply_chat(record, self.offset, record.at_ms)
            else:
                self._room(record.room).apply_lifecycle(record, self.offset, record.at_ms)
        for activity in self.book.drain():
            self.offset += 1
            self._room(activity.room).apply_activity(activity, self.offset, activity.bucket_ms)
        self._encode_closed()

    def states(self, now_ms: int) -> dict[str, RoomState]:
        """Live rooms with every vector that they wait for."""
        for aggregate in self.rooms.values():
            if aggregate.status == "live":
                if (title := aggregate.title_text()) is not None:
                    aggregate.set_title_vector(title, self._vector(title.text), self.encoder.version)
                if (chat := aggregate.chat_text()) is not None:
                    aggregate.set_chat_vector(chat, self._vector(chat.text), self.encoder.version)
        states = ((room, aggregate.state(now_ms)) for room, aggregate in self.rooms.items())
        return {room: state for room, state in states if state is not None and state.status == "live"}

    def profiles(self) -> Mapping[str, ViewerProfile]:
        """The profile of every viewer seen."""
        return {viewer: aggregate.profile() for viewer, aggregate in self.viewers.items()}

    def copy(self) -> AggregatedPlatform:
        """One that goes its own way from here, with the same encoder."""
        rooms, viewers, book = copy.deepcopy((self.rooms, self.viewers, self.book))
        return AggregatedPlatform(self.encoder, rooms, viewers, book, self.offset)

    def _encode_closed(self) -> None:
        for aggregate in self.rooms.values():
            for segment in aggregate.closed_segments():
                aggregate.add_segment(segment.index, self._vector(segment.text), self.encoder.version)

    def _vector(self, text: str) -> bytes:
        return np.asarray(self.encoder.encode([text])[0], "<f2").tobytes()

    def _room(self, room: str) -> RoomAggregate:
        return self.rooms.setdefault(room, RoomAggregate(RoomId(room), WindowConfig()))
