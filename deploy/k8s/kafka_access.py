"""What each component may do on Kafka, made of the table of topics: its users and their rights. Never connects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from actors.profiles.worker import GROUP as PROFILE_WORKERS
from actors.rooms.worker import GROUP as ROOM_WORKERS
from deploy.k8s.installation import Installation
from deploy.k8s.manifest import Manifest, manifest
from deploy.train.trainer import GROUP as TRAINERS
from streaming.log.topics import ARCHIVED, DEAD_LETTER, READ_BY, TOPICS, VIEWER_EVENTS

READ, WRITE = ("Read", "Describe"), ("Write", "Describe")
EVERYTHING = "Archiver"  # reads every topic that is archived
ANY_READER = "any reader"  # in the table, of the topic for records that were refused


@dataclass(frozen=True, slots=True)
class Component:
    """A user of Kafka. tables: its names in the table of topics. group: whose member it is, in transactions too.

    lease: the group of which it has a place, and in which it writes nothing (streaming/log/lease.py).
    """

    user: str
    tables: tuple[str, ...]
    group: str = ""
    lease: str = ""
    forwards: bool = False  # writes records of its inputs, which lie in a wrong partition, to the right one
    erases: bool = False  # writes viewers' erasures


COMPONENTS = (
    Component("room-worker", ("RoomWorker",), group=ROOM_WORKERS, forwards=True),
    Component("profile-worker", ("ProfileWorker",), group=PROFILE_WORKERS, forwards=True),
    Component("recommender", ("Recommender",)),
    Component("encoder", ("Encoder",)),
    Component("archiver", (EVERYTHING,)),
    Component("trainer", ("registry",), lease=TRAINERS),
    Component("producer", ("producers",)),  # for what writes rooms, chat and viewers' events: the platform itself
)


PRODUCERS = "producers"  # in the table, of the topics that a platform writes


def components(here: Installation) -> tuple[Component, ...]:
    """The users of an installation. A Recommender writes what is taken over HTTP: records, and erasures of viewers."""
    http = here.settings.http
    taking = (PRODUCERS,) if here.settings.intake.is_on(guarded=http.guarded) else ()
    return tuple(
        replace(one, tables=(*one.tables, *taking), erases=http.erases) if one.user == "recommender" else one
        for one in COMPONENTS
    )


def topics_of(component: Component) -> Mapping[str, tuple[str, ...]]:
    """The operations of a component by topic, in the order of the table."""
    rights: dict[str, tuple[str, ...]] = {}
    for topic in TOPICS.values():
        archives = EVERYTHING in component.tables and topic.name in ARCHIVED
        reads = archives or any(table in READ_BY[topic.name] for table in component.tables)
        writes = topic.written_by in component.tables or (reads and component.forwards)
        writes = writes or (topic.name == DEAD_LETTER and topic.written_by == ANY_READER and _refuses(component))
        writes = writes or (topic.name == VIEWER_EVENTS and component.erases)
        wanted = (*(READ if reads else ()), *(WRITE if writes else ()))
        if wanted:
            rights[topic.name] = tuple(dict.fromkeys(wanted))
    return rights


def _refuses(component: Component) -> bool:
    """Whether it puts what it cannot read on the dead-letter topic: the workers do, and of rules the Recommender."""
    return bool(component.group) or "Recommender" in component.tables


def kafka_users(here: Installation) -> Iterator[Manifest]:
    """The users, by SCRAM. Strimzi writes each one's password to a Secret of the same name."""
    for component in components(here):
        metadata = here.metadata(component.user)
        metadata["labels"]["strimzi.io/cluster"] = here.config.name
        spec = {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": list(_acls(here, component))},
        }
        yield manifest("kafka.strimzi.io/v1", "KafkaUser", metadata, spec=spec)


def _acls(here: Installation, component: Component) -> Iterator[dict[str, Any]]:
    prefix = here.settings.topics.prefix
    for topic, operations in topics_of(component).items():
        yield _acl("topic", prefix + topic, operations)
    if component.lease:
        yield _acl("group", prefix + component.lease, READ)
    if component.group:
        yield _acl("group", prefix + component.group, READ)
        # GROUP-MEMBER-RANK: the transactional ids of its members (streaming/log/loop.py)
        yield _acl("transactionalId", f"{prefix}{component.group}-", WRITE, pattern="prefix")
    for writer in _held_up_by(component):
        yield _acl("transactionalId", f"{prefix}{writer.group}-", ("Describe",), pattern="prefix")


def _held_up_by(component: Component) -> Iterator[Component]:
    """Who else writes in transactions to what it reads: one left open holds it up, and it reports whose that is."""
    read = {topic for topic, operations in topics_of(component).items() if "Read" in operations}
    for other in COMPONENTS:
        written = {topic for topic, operations in topics_of(other).items() if "Write" in operations}
        if other.group and other is not component and read & written:
            yield other


def _acl(kind: str, name: str, operations: tuple[str, ...], pattern: str = "literal") -> dict[str, Any]:
    resource = {"type": kind, "name": name, "patternType": pattern}
    return {"resource": resource, "operations": list(operations), "host": "*"}
