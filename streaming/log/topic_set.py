"""The sets of topics that belong together, and conclusions from their shapes. Never asks the log."""

from __future__ import annotations

from collections.abc import Mapping

from streaming.events import RoomState
from streaming.log.log import TopicShape
from streaming.log.topics import (
    CHAT,
    IMPRESSIONS,
    ROOM_ACTIVITY,
    ROOM_STATES,
    ROOMS,
    SHOWN_ROOMS,
    VIEWER_EVENTS,
    VIEWER_PROFILES,
)

ROOM_TOPICS = (ROOMS, CHAT, ROOM_ACTIVITY, ROOM_STATES)  # one worker owns a room in all of them
VIEWER_TOPICS = (VIEWER_EVENTS, VIEWER_PROFILES, IMPRESSIONS, SHOWN_ROOMS)  # the last two are by viewer as well


def partitions_in_force(shapes: Mapping[str, TopicShape]) -> int:
    """The number of partitions among which a set's keys are divided: the smallest of its topics'."""
    return min(shape.partitions for shape in shapes.values())


def half_grown(shapes: Mapping[str, TopicShape]) -> str:
    """The message for a set whose topics differ in their number of partitions; "" where they do not."""
    counts = {topic: shape.partitions for topic, shape in shapes.items()}
    if len(set(counts.values())) < 2:
        return ""
    most, group = max(counts.values()), "room" if ROOM_STATES in counts else "viewer"
    listed = ", ".join(f"{topic} {count}" for topic, count in counts.items())
    return (
        f"topics that belong together have different numbers of partitions ({listed}): keys are divided among "
        f"{min(counts.values())}, the others' records are forwarded. Run `tidecast topics --{group}-partitions {most}`"
    )


def made_of_inputs(shapes: Mapping[str, TopicShape], index: int) -> tuple[int, int, int]:
    """Ids of partition `index` of rooms, chat and room-activity by making: offsets compare only under equal ids."""
    rooms, chat, activity = (shapes[topic].made for topic in (ROOMS, CHAT, ROOM_ACTIVITY))
    return _mixed(rooms, index), _mixed(chat, index), _mixed(activity, index)


def comparable(one: RoomState, other: RoomState) -> bool:
    """Whether two states of a room can be ordered by their offsets."""
    return not one.inputs or not other.inputs or one.inputs == other.inputs


def _mixed(made: int, index: int) -> int:
    return made and (made ^ index * 0x9E37_79B9_7F4A_7C15) & 0x7FFF_FFFF_FFFF_FFFF
