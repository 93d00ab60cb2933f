"""The one table of topics: key, cleanup, format and record types. Never talks to a broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from streaming.events import (
    ChatMessage,
    DeadLetter,
    Impression,
    ModelVersion,
    RoomActivity,
    RoomEnded,
    RoomStarted,
    RoomState,
    RoomUpdated,
    ShownRooms,
    Speech,
    ViewerErased,
    ViewerEvent,
    ViewerProfile,
)
from streaming.operator_rule import OperatorRule
from streaming.section import Count, Section

ROOMS = "rooms"
CHAT = "chat"
VIEWER_EVENTS = "viewer-events"
ROOM_ACTIVITY = "room-activity"
ROOM_STATES = "room-states"
VIEWER_PROFILES = "viewer-profiles"
IMPRESSIONS = "impressions"
SHOWN_ROOMS = "shown-rooms"
MODELS = "models"
RULES = "rules"
DEAD_LETTER = "dead-letter"

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

Partitioning = Literal["room", "viewer", "single"]


@dataclass(frozen=True, slots=True)
class Topic:
    """Declaration of a topic. records: its record types; partitioning: the setting that gives its partition count."""

    name: str
    key: str
    written_by: str
    format: Literal["json", "msgpack"]
    records: tuple[type, ...]
    partitioning: Partitioning
    compact: bool
    retention_ms: int | None  # None: kept until compacted


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(ROOMS, "room", "producers", "json", (RoomStarted, RoomUpdated, RoomEnded), "room", True, 7 * DAY_MS),
        Topic(CHAT, "room", "producers", "json", (ChatMessage, Speech), "room", False, 6 * HOUR_MS),
        Topic(VIEWER_EVENTS, "viewer", "producers", "json", (ViewerEvent, ViewerErased), "viewer", False, 7 * DAY_MS),
        Topic(ROOM_ACTIVITY, "room", "ProfileWorker", "msgpack", (RoomActivity,), "room", False, 6 * HOUR_MS),
        Topic(ROOM_STATES, "room", "RoomWorker", "msgpack", (RoomState,), "room", True, None),
        Topic(VIEWER_PROFILES, "viewer", "ProfileWorker", "msgpack", (ViewerProfile,), "viewer", True, None),
        Topic(IMPRESSIONS, "viewer", "Recommender", "msgpack", (Impression,), "viewer", False, 7 * DAY_MS),
        Topic(SHOWN_ROOMS, "viewer", "Recommender", "msgpack", (ShownRooms,), "viewer", False, HOUR_MS),
        Topic(MODELS, "name/version", "registry", "msgpack", (ModelVersion,), "single", True, None),
        Topic(RULES, "name", "Recommender", "msgpack", (OperatorRule,), "single", True, None),
        Topic(DEAD_LETTER, "none", "any reader", "msgpack", (DeadLetter,), "single", False, 7 * DAY_MS),
    )
}

# The components that read each topic; `written_by` in the table says who writes it. The workers read their output too:
# state is restored from it. Rights on a cluster are made of both (deploy/k8s/kafka_access.py).
READ_BY: dict[str, tuple[str, ...]] = {
    ROOMS: ("RoomWorker",),
    CHAT: ("RoomWorker",),
    VIEWER_EVENTS: ("ProfileWorker",),
    ROOM_ACTIVITY: ("RoomWorker",),
    ROOM_STATES: ("RoomWorker", "Recommender"),
    VIEWER_PROFILES: ("ProfileWorker", "Recommender"),
    IMPRESSIONS: (),
    SHOWN_ROOMS: ("Recommender",),
    MODELS: ("Recommender", "Encoder", "registry"),
    RULES: ("Recommender",),
    DEAD_LETTER: (),
}

# Topics that the archive keeps: not what replicas tell each other for some minutes
ARCHIVED: tuple[str, ...] = tuple(name for name in TOPICS if name != SHOWN_ROOMS)


@dataclass(frozen=True, slots=True)
class TopicsConfig(Section):
    """The topics' numbers of partitions and replicas, and a prefix for sharing a cluster."""

    section: ClassVar[str] = "topics"

    prefix: str = ""  # put before every topic's name and group's name, for example "staging."
    room_partitions: Count = 4  # also the largest number of RoomWorkers that have something to do
    viewer_partitions: Count = 4  # also the largest number of ProfileWorkers that have something to do
    replication_factor: Count = 1  # 3 on a real cluster

    def partitions_of(self, topic: Topic) -> int:
        """The configured number of partitions of a topic."""
        return {"room": self.room_partitions, "viewer": self.viewer_partitions, "single": 1}[topic.partitioning]
