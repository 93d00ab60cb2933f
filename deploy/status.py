"""Owns what the running system says of itself: the records, and the board on which its processes leave them.

Never asks a process: each writes once a second, and what has not been written for a while is gone.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from streaming.clock import Clock

FORGOTTEN_MS = 10_000  # ten missed writes: a process that is alive writes even while it is busy


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a replica has caught up, and how far it is behind."""

    ready: bool
    reason: str  # why not, "" if ready
    lag: dict[str, int]  # records between the replica and the end of each topic; empty before the first fetch
    contact_age_s: float | None  # since Kafka last answered; None before the first answer
    live_rooms: int
    model_version: str = "v0"  # that answers
    model_refused: str = ""  # the version that is to answer, and why it does not


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """What one process says of itself."""

    name: str  # recommender, room-worker, profile-worker, encoder
    rank: int
    pid: int
    node: str
    at_ms: int
    detail: dict[str, Any]


class SystemStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Every process that wrote lately."""

    at_ms: int
    processes: list[Post]


class Store(Protocol):
    """Where posts lie, for all nodes to read."""

    def put(self, key: str, value: bytes) -> None:
        """Replaces what is under a key. May fail while the cluster's head is away."""

    def values(self) -> list[bytes]:
        """Everything that is there."""


class Board:
    """Posts of all processes, by name and rank."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def write(self, name: str, rank: int, pid: int, node: str, detail: dict[str, Any]) -> None:
        """Leaves a process's post in place of the one before."""
        post = Post(name=name, rank=rank, pid=pid, node=node, at_ms=self._clock.now_ms(), detail=detail)
        self._store.put(f"{name}-{rank}", msgspec.json.encode(post))

    def read(self) -> SystemStatus:
        """Posts that are not older than ten seconds, in order of name and rank."""
        now_ms = self._clock.now_ms()
        posts = [msgspec.json.decode(value, type=Post) for value in self._store.values()]
        recent = [post for post in posts if now_ms - post.at_ms < FORGOTTEN_MS]
        return SystemStatus(at_ms=now_ms, processes=sorted(recent, key=lambda post: (post.name, post.rank)))
