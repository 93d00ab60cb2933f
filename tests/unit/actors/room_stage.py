"""A RoomWorker for tests, on an in-memory log, moved turn by turn. Never asserts."""

from __future__ import annotations

from actors.rooms.encoder_client import EncoderClient
from actors.rooms.worker import GROUP, TOPICS, RoomWorker
from actors.settings import RoomWorkerConfig
from streaming.clock import ManualClock
from streaming.events import (
    ChatMessage,
    DeadLetter,
    RoomStarted,
    RoomState,
)
from streaming.log.codec import Decoder, encode
from streaming.log.log import Partition
from streaming.log.memory_log import MemoryLog, MemorySource
from streaming.log.topics import CHAT, DEAD_LETTER, ROOM_STATES, ROOMS
from streaming.metrics import MemoryMetrics
from streaming.room.window_config import WindowConfig
from tests.fake_encoder import InstantEncoder

START_MS = 1_700_000_000_000


class Stage:
    """A RoomWorker on an in-memory log, moved turn by turn."""

    def __init__(self, encoder: EncoderClient | None = None, config: RoomWorkerConfig | None = None) -> None:
        self.clock = ManualClock(START_MS)
        self.metrics = MemoryMetrics()
        topics = (*TOPICS, ROOM_STATES)
        self.log = MemoryLog(self.clock, {**dict.fromkeys(topics, 2), DEAD_LETTER: 1})
        self.encoder = encoder or InstantEncoder()
        self.config = config or RoomWorkerConfig()
        self.producer = self.log.sink()
        self.start()

    def start(self) -> None:
        """A new process of the same member; the old one is never heard of again."""
        self.worker = RoomWorker(
            self.log,
            "0",
            config=self.config,
            window=WindowConfig(),
            encoder=self.encoder,
            metrics=self.metrics,
            clock=self.clock,
        )
        self.sink = self.log.sink(f"{GROUP}-0")
        self.source: MemorySource = self.log.group(TOPICS, GROUP, "0")
        self.worker.begin(self.source, self.sink)

    def send(self, *records: object, topic: str | None = None) -> None:
        for record in records:
            where = topic or (CHAT if isinstance(record, ChatMessage) else ROOMS)
            self.producer.send(where, record.room.encode(), encode(record))  # type: ignore[attr-defined,arg-type]

    def turn(self, advance_ms: int = 20) -> None:
        self.clock.advance(advance_ms)
        batch = self.source.poll(0)
        if batch.revoked:
            self.worker.revoke(batch.revoked)
        if batch.assigned:
            self.worker.assign(batch.assigned)
        self.worker.apply(batch)
        positions = self.worker.publish(final=bool(batch.reshaped))
        if positions is not None:
            self.sink.commit(self.source, positions)

    def turns(self, count: int, advance_ms: int = 20) -> None:
        for _ in range(count):
            self.turn(advance_ms)

    def states(self) -> dict[str, RoomState | None]:
        decode = Decoder(ROOM_STATES)
        found: dict[str, RoomState | None] = {}
        for partition in self.log.partitions(ROOM_STATES):
            for line in self.log.read(partition, 0, 100_000):
                assert line.key is not None
                found[line.key.decode()] = None if line.value is None else decode(line.value)
        return found

    def state(self, room: str) -> RoomState:
        state = self.states()[room]
        assert state is not None
        return state

    def letters(self) -> list[DeadLetter]:
        decode = Decoder(DEAD_LETTER)
        return [decode(line.value or b"") for line in self.log.read(Partition(DEAD_LETTER, 0), 0, 1000)]

    def started(self, room: str, title: str = "a title") -> RoomStarted:
        return RoomStarted(room=room, streamer="s", at_ms=self.clock.now_ms(), title=title)

    def said(self, room: str, text: str, viewer: str = "v") -> ChatMessage:
        return ChatMessage(room=room, viewer=viewer, text=text, at_ms=self.clock.now_ms())
