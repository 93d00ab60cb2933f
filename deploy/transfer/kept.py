"""The topics that an export has, and what of their records decides which one is newer. Never reads or writes one.

A further compacted topic is one more line of KEPT, with a function that says how new a value is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from streaming.errors import RecordError
from streaming.log.codec import Decoder, encode
from streaming.log.topics import ROOM_STATES, RULES, VIEWER_PROFILES
from streaming.viewer.presence import PackedPresence, presence_of

What = Literal["rooms", "profiles", "rules", "models"]
OFFSETS = ("rooms_offset", "chat_offset", "vector_offset", "activity_offset")
NEVER = -1


@dataclass(frozen=True, slots=True)
class Kept:
    """A topic of an export. at_ms: how new a value is; raises RecordError. moved: the value as another log has it.

    group, member: of the workers that write the topic and hold it in memory, so that none may run; "" for none.
    names_viewer: whether its keys are viewers, who may have been erased meanwhile.
    """

    what: What
    topic: str
    at_ms: Callable[[bytes], int]
    moved: Callable[[bytes], bytes] = bytes
    group: str = ""
    member: str = ""
    names_viewer: bool = False


_STATE = Decoder(ROOM_STATES)


def _state_at_ms(value: bytes) -> int:
    at_ms: int = _STATE(value).published_ms
    return at_ms


def _moved_state(value: bytes) -> bytes:
    """A room's state that says nothing of the offsets of the log that it comes from."""
    state = _STATE(value)
    return encode(msgspec.structs.replace(state, inputs=(), **dict.fromkeys(OFFSETS, NEVER)))


def profile_of(value: bytes) -> PackedPresence:
    """What of a serialised profile says when. Raises RecordError."""
    try:
        return presence_of(value)
    except msgspec.DecodeError as err:
        raise RecordError(f"{VIEWER_PROFILES}: {err}") from err


def _profile_at_ms(value: bytes) -> int:
    profile = profile_of(value)
    return max(profile.appended_ms, profile.erased_ms)


_RULE = Decoder(RULES)


def _rule_at_ms(value: bytes) -> int:
    at_ms: int = _RULE(value).at_ms
    return at_ms


KEPT = (
    Kept("rooms", ROOM_STATES, _state_at_ms, _moved_state, "room-workers", "room-worker"),
    Kept("profiles", VIEWER_PROFILES, _profile_at_ms, bytes, "profile-workers", "profile-worker", names_viewer=True),
    Kept("rules", RULES, _rule_at_ms),
)
MODELS: What = "models"  # files of the registry, beside the topics
EVERYTHING: tuple[What, ...] = (*(one.what for one in KEPT), MODELS)
