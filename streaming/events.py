"""The typed records of every topic, their ids, and the outcomes of applying them. Never encodes or aggregates them.

Producer-facing records are JSON objects; internal ones are MessagePack arrays whose fields are only ever appended.
All times are milliseconds since the Unix epoch, UTC. Vectors travel as little-endian float16 bytes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, ClassVar, Literal, NewType

import msgspec
from msgspec import UNSET, Meta, UnsetType

RoomId = NewType("RoomId", str)
StreamerId = NewType("StreamerId", str)
ViewerId = NewType("ViewerId", str)

SCHEMA_VERSION = 1
MAX_ID_LENGTH = 128
MIN_AT_MS = 631_152_000_000  # the year 1990, before any recording of live chat; anything earlier is a unit mistake
MAX_AT_MS = 4_102_444_800_000  # the year 2100: anything later is a unit mistake (microseconds), not a time
MAX_AHEAD_MS = 60_000  # clocks disagree by seconds; a minute ahead of the broker is a wrong clock or a wrong unit
MAX_TITLE_LENGTH = 2_000
MAX_LABEL_LENGTH = 200
MAX_LANGUAGE_LENGTH = 35
MAX_TAGS = 32
MAX_POSITION = 1_000_000  # a page shows hundreds; anything larger is another number

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
AtMs = Annotated[int, Meta(ge=MIN_AT_MS, le=MAX_AT_MS, description="milliseconds since the Unix epoch, UTC")]
Title = Annotated[str, Meta(max_length=MAX_TITLE_LENGTH)]
Label = Annotated[str, Meta(max_length=MAX_LABEL_LENGTH)]
Language = Annotated[
    str, Meta(max_length=MAX_LANGUAGE_LENGTH, description='BCP 47, for example "en" or "pt-BR"; "" if not known')
]
EventId = Annotated[
    str, Meta(max_length=MAX_ID_LENGTH, description="of the event, for producers that may send one twice; optional")
]
RequestId = Annotated[
    str,
    Meta(
        max_length=MAX_ID_LENGTH, description="`request_id` of the answer that showed the room to the viewer; optional"
    ),
]
ShownAt = Annotated[
    int, Meta(ge=0, le=MAX_POSITION, description="where in that answer the room was shown, from 1; 0: not known")
]
Version = Annotated[int, Meta(ge=0, description="schema version", extra_json_schema={"enum": [SCHEMA_VERSION]})]


class ProducerRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """A record that producers write, as JSON. An unknown field is ignored, an unknown `v` is a dead letter."""

    v: Version = SCHEMA_VERSION


class RoomDescription(ProducerRecord, frozen=True, kw_only=True):
    """A room as its platform describes it."""

    room: Id  # of the broadcast, new for each
    streamer: Id  # who broadcasts, the same every time
    at_ms: AtMs
    title: Title = ""  # as people see it
    category: Label = ""  # such as a game, as people see it
    language: Language = ""
    tags: Annotated[list[Label], Meta(max_length=MAX_TAGS)] = []
    mature: bool = False  # for adults: recommended only on request (`recommend.show_mature`)


class RoomStarted(RoomDescription, frozen=True, kw_only=True, tag="started"):
    """A broadcast began. `room` is new for each broadcast, `streamer` stays."""


class RoomUpdated(ProducerRecord, frozen=True, kw_only=True, tag="updated"):
    """A broadcast's description changed. Fields left out stay as they were; "", [] and false mean none.

    Repeat all fields where you can: the topic is compacted by room and may keep only the last record of one.
    """

    room: Id  # of the broadcast
    streamer: Id  # who broadcasts
    at_ms: AtMs
    title: Title | UnsetType = UNSET  # as people see it
    category: Label | UnsetType = UNSET  # such as a game
    language: Language | UnsetType = UNSET
    tags: Annotated[list[Label], Meta(max_length=MAX_TAGS)] | UnsetType = UNSET
    mature: bool | UnsetType = UNSET  # for adults


class RoomEnded(ProducerRecord, frozen=True, kw_only=True, tag="ended"):
    """A broadcast ended."""

    room: Id  # of the broadcast
    at_ms: AtMs


RoomEvent = RoomStarted | RoomUpdated | RoomEnded


class ChatMessage(ProducerRecord, frozen=True, kw_only=True, tag="chat"):
    """One chat message."""

    room: Id  # of the broadcast
    viewer: Id  # who wrote it
    text: str  # what they wrote; may be empty
    at_ms: AtMs


class Speech(ProducerRecord, frozen=True, kw_only=True, tag="speech"):
    """What the streamer said: a sentence or a few, as the platform's speech recogniser has written them."""

    viewer: ClassVar[None] = None  # no viewer's: one loop reads chat and speech
    room: Id  # of the broadcast
    text: str  # what was said; may be empty
    at_ms: AtMs  # when the last word was said


Action = Literal[
    "enter", "leave", "watch", "like", "gift", "follow", "chat",
    "hide_room", "unhide_room", "block_streamer", "unblock_streamer", "not_interested", "undo_not_interested",
]  # fmt: skip


class ViewerEvent(ProducerRecord, frozen=True, kw_only=True, tag="viewer"):
    """What a viewer did in a room. `seconds`: for `watch`, seconds watched since the previous event of the visit."""

    viewer: Id  # who did it
    room: Id  # where
    streamer: Id  # who broadcasts there
    action: Action  # what they did
    at_ms: AtMs
    seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0.0  # for `watch`: watched since the previous event of the visit
    id: EventId = ""
    request_id: RequestId = ""
    position: ShownAt = 0


class ViewerErased(ProducerRecord, frozen=True, kw_only=True, tag="erased"):
    """A viewer is to be forgotten: all that they did before, and what comes late of it. What they do later is new."""

    viewer: Id  # who is forgotten
    at_ms: AtMs


class InternalRecord(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A record that only Tidecast writes, as a MessagePack array. The first element is the schema version."""

    v: int = SCHEMA_VERSION


ACTIVITY_BUCKET_MS = 10_000  # six buckets make the "last minute" of trending, sixty the "last ten minutes"


class Arrival(msgspec.Struct, frozen=True, array_like=True, order=True):
    """An entry of a viewer whose last visit was to another streamer, however long before."""

    at_ms: int
    streamer: StreamerId  # of their last visit


class RoomActivity(InternalRecord, frozen=True, kw_only=True):
    """What viewers did in a room, summed over one time bucket of one ProfileWorker transaction.

    Sums of the same bucket add up: any split of the events into transactions gives the same totals.
    """

    room: RoomId
    bucket_ms: int  # start of the ACTIVITY_BUCKET_MS bucket of the viewers' event times
    entered: int = 0  # entries
    newcomers: int = 0  # of `entered`, those by viewers without any earlier visit to any room
    left: int = 0  # leaves, reported, or implied by entering another room or by silence
    watch_ms: int = 0  # watched, in milliseconds
    likes: int = 0
    gifts: int = 0
    follows: int = 0
    first_entered: int = 0  # of `entered`, those by viewers without any earlier visit to the streamer
    arrivals: tuple[Arrival, ...] = ()  # of `entered`, the newest from another streamer, oldest first, bounded
    lapsed: int = 0  # of `left`, those by viewers silent for too long: no sign of life of the room
    again: int = 0  # of `entered`, those by viewers who had entered the room less than ten minutes before


class ActivityBucket(msgspec.Struct, frozen=True, array_like=True):
    """Entries of one bucket of a room's last ten minutes. The counts are those of RoomActivity."""

    bucket_ms: int
    entered: int
    newcomers: int
    first_entered: int = 0
    again: int = 0  # of `entered`, as in RoomActivity: one viewer coming and going is no crowd


RoomStatus = Literal["live", "ended", "presumed_ended"]


class OtherContent(msgspec.Struct, frozen=True, array_like=True):
    """A room's vectors by another encoder than the state's own: the one to come, or the one before.

    The fields are those of RoomState. `streaming.room.content_slots.read_by` gives a reader the encoder that it reads.
    """

    encoder_version: str
    title_vector: bytes = b""
    chat_vector: bytes = b""
    mean_vector: bytes = b""
    title_hash: int = 0
    chat_hash: int = 0
    vector_offset: int = -1
    segment_end_ms: int = 0
    appended_ms: int = 0


class RoomState(InternalRecord, frozen=True, kw_only=True):
    """Everything a replica needs to know of a room: three independent aggregates and the encoder's vectors.

    Vectors: float16 little-endian bytes of shape [d_content], unit length, b"" where there is none yet.
    """

    room: RoomId  # of the broadcast
    streamer: StreamerId
    status: RoomStatus  # whether it is live; presumed_ended: no sign of life for too long
    title: str
    category: str
    language: str
    tags: tuple[str, ...]
    mature: bool
    started_at_ms: int
    described_at_ms: int  # event time of the description in force
    ended_at_ms: int = 0  # 0 while live
    # aggregated from `chat`
    messages: int = 0  # all messages of the room
    window_messages: int = 0  # messages of the 30 s up to the newest message or transcript, not up to now
    window_chatters: int = 0  # distinct viewers among them
    previous_messages: int = 0  # messages of the 30 s before those; the difference is the chat's velocity
    chat_at_ms: int = 0  # newest event time of a message
    # aggregated from `room-activity`
    entered: int = 0  # as in RoomActivity, of the whole broadcast; so are the next
    newcomers: int = 0
    left: int = 0
    watch_ms: int = 0
    likes: int = 0
    gifts: int = 0
    follows: int = 0
    recent: tuple[ActivityBucket, ...] = ()  # buckets of the last ten minutes, oldest first
    # the encoder's vectors, and the offsets that the state includes
    title_vector: bytes = b""  # of title, category and tags
    chat_vector: bytes = b""  # of the last 30 s of chat
    mean_vector: bytes = b""  # slow mean of the vectors of completed 30-s segments of chat (not re-normalised)
    mean_segment: int = -1  # index of the last segment in the mean: its end is (mean_segment + 1) * 30 s
    segment_end_ms: int = 0  # newest event time in the text behind chat_vector
    title_hash: int = 0  # 64-bit hash of the text behind title_vector
    chat_hash: int = 0  # 64-bit hash of the text behind chat_vector
    encoder_version: str = ""  # of the encoder that made the vectors
    rooms_offset: int = -1  # last offset applied from `rooms`, -1 for none
    chat_offset: int = -1  # last offset applied from `chat`, -1 for none
    vector_offset: int = -1  # last chat offset in chat_vector; behind chat_offset while text waits for the encoder
    activity_offset: int = -1  # last offset applied from `room-activity`, -1 for none
    alive_ms: int = 0  # append time of the last sign of life on any input
    appended_ms: int = 0  # append time of the newest chat message or description in the vectors
    published_ms: int = 0  # when this state was written
    language_guessed: bool = False  # `language` is a guess, because the room declares none
    described_appended_ms: int = 0  # append time of the description in force
    chat_language: str = ""  # language of the text behind chat_vector, a guess, "" if none
    # more from `chat`
    recent_messages: tuple[int, ...] = ()  # of each bucket of the last ten minutes up to the newest, oldest first
    recent_messages_ms: int = 0  # start of the newest of these buckets
    # more from `room-activity`
    first_entered: int = 0  # visits by viewers without any earlier visit to the streamer
    arrivals: tuple[Arrival, ...] = ()  # the newest of the last ten minutes, oldest first, bounded
    # inputs of rates, which depend on the time of asking and so are computed by their reader
    recent_heard: tuple[int, ...] = ()  # as recent_messages, but at most 3 of a chatter in 5 s, and no late ones
    chat_arrived_ms: int = 0  # append time of the message sent at chat_at_ms
    entries_arrived_ms: int = 0  # append time of the first record of the newest bucket in `recent`
    # more on its inputs
    inputs: tuple[int, ...] = ()  # making and partition of rooms, chat and room-activity to which the offsets belong
    # more on its description
    said_ms: tuple[int, ...] = ()  # event times of title, category, language, tags, mature; empty: described_at_ms
    # while one encoder takes the place of another
    other: OtherContent | None = None  # the vectors of the second encoder
    # more from `chat`
    speech_at_ms: int = 0  # newest event time of a transcript, 0 where nothing was heard


class Visit(msgspec.Struct, frozen=True, array_like=True):
    """A viewer's visit to a room: from an enter to the next."""

    room: RoomId
    streamer: StreamerId
    entered_at_ms: int
    last_at_ms: int  # newest sign of life in the visit
    watch_ms: int  # watched, in milliseconds
    chats: int
    likes: int
    gifts: int


class StreamerHabit(msgspec.Struct, frozen=True, array_like=True):
    """How often and when last a viewer visited a streamer."""

    streamer: StreamerId
    visits: int
    watch_ms: int
    last_at_ms: int
    followed: bool
    chats: int = 0
    first_entered_at_ms: int = 0  # when the first visit began, 0 if not known
    entered_at_ms: int = 0  # when the last visit began, 0 if not known


class ViewerRule(msgspec.Struct, frozen=True, array_like=True):
    """What a viewer demands, or has taken back: the newest of its kind about a room or streamer."""

    kind: str  # hide (a room), block (a streamer), lower (a streamer, of no interest); a later build may have more
    subject: str  # room or streamer
    at_ms: int  # event time
    in_force: bool  # false: taken back, and kept so that an older event that comes late loses
    room: str = ""  # of `lower`: the room of no interest


class ViewerProfile(InternalRecord, frozen=True, kw_only=True):
    """Everything a replica needs to know of a viewer. It holds nothing of a model."""

    viewer: ViewerId
    visits: tuple[Visit, ...]  # newest last, bounded
    habits: tuple[StreamerHabit, ...]  # bounded; the least recent are forgotten first
    room: RoomId | None  # where the viewer is now, None if not known to be anywhere
    total_visits: int
    total_events: int
    first_at_ms: int
    last_at_ms: int
    recent_events: tuple[int, ...]  # 64-bit hashes of the last few events, to recognise duplicates
    appended_ms: int  # append time of the last event applied
    repeats: int = 0  # of total_visits, those to a streamer visited before
    rules: tuple[ViewerRule, ...] = ()  # what the viewer demands, bounded by kind
    erased_ms: int = 0  # event time until which the viewer is forgotten: no event until then counts any more


class Assignment(msgspec.Struct, frozen=True, array_like=True):
    """An experiment that an answer was part of, and the variant that its viewer has there."""

    experiment: str
    variant: str


class Impression(InternalRecord, frozen=True, kw_only=True):
    """One answer: which rooms were shown to whom. Arrays are in the order of the answer."""

    request_id: str  # the answer's own, or its caller's
    viewer: ViewerId
    rooms: tuple[RoomId, ...]  # in the order of the answer
    scores: tuple[float, ...]  # of each room
    propensities: tuple[float, ...]  # probability that the policy shows the room; 1.0 if deterministic
    model_version: str
    at_ms: int
    steered: bool = False  # whether the caller pulled this answer with `steer`
    sources: tuple[str, ...] = ()  # why each room was there, as in the answer
    first_position: int = 1  # of the first room, from 1: a later page goes on where the one before ended
    experiments: tuple[Assignment, ...] = ()  # that the answer was part of


class ShownRooms(InternalRecord, frozen=True, kw_only=True):
    """Rooms that a replica has shown to a viewer within about a second, for the other replicas to know.

    A room stands as the BLAKE2b-64 hash of its id, little-endian: 8 bytes each.
    """

    writer: str  # the replica's own id: it has counted these already
    rooms: bytes  # hashes; a room that was shown twice stands twice
    entered: bytes  # hashes of rooms entered since they were shown: what was before no longer counts
    at_ms: int  # event time


class ModelVersion(InternalRecord, frozen=True, kw_only=True):
    """A version of the models and its state."""

    name: str
    version: str
    path: str  # where its files lie
    state: Literal["candidate", "live", "retired"]
    metrics: dict[str, float]  # of the promotion gate, by name
    at_ms: int
    encoder: str = ""  # encoder version of the vectors that it reads; "": announced before versions said so


class DeadLetter(InternalRecord, frozen=True, kw_only=True):
    """A record that could not be read or was refused, and why."""

    topic: str  # of the record
    partition: int
    offset: int
    key: bytes | None  # its first 1,024 bytes
    value: bytes | None  # its first 64 KB
    error: str  # why it was refused
    at_ms: int  # when it was refused
    last_offset: int | None = None  # set where the records of all offsets up to this one are lost


class Outcome(IntEnum):
    """The effect of a record on an aggregate. All but REPLAYED, DUPLICATE and STALE have changed its counts."""

    APPLIED = 0
    REPLAYED = 1  # read again after a restart: changed no count
    DUPLICATE = 2  # the same message or event was applied already
    LATE = 3  # counted, but older than anything in the window: not in any text
    STALE = 4  # outdated: an update before the one in force, a leave from a room already left
    ORPHAN = 5  # applied to a room that has not started
    AFTER_END = 6  # applied to a room that has ended; does not revive it
    RESTARTED = 7  # a start of a room that is live: taken as an update
    REVIVED = 8  # a start, later than its end, of a room that had ended
    ENDED = 9  # the room ended
