"""The status of the running system: its records, and the board on which processes post them.

Never asks a process: each posts once a second, and a post that is not renewed for a while is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from streaming.clock import Clock
from streaming.troubles import Trouble

FORGOTTEN_MS = 10_000  # ten missed posts: a living process posts even while it is busy


READ_BEHIND = 10_000  # records: more than a replica reads in a second, so answers are out of date

State = Literal["current", "behind", "troubled", "out of touch", "lost", "reading"]


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a replica's answers are good, and how far it is behind."""

    ready: bool  # whether it is to be asked
    reason: str  # why not, or what is wrong all the same; "" where nothing is
    lag: dict[str, int]  # records between the replica and the end of each topic; empty before the first fetch
    contact_age_s: float | None  # since Kafka last answered; None before the first answer
    live_rooms: int
    model_version: str = "v0"  # that answers
    model_refused: str = ""  # the version that is to answer, and why it does not
    model_waits: str = ""  # the same where nothing is wrong: its encoder still reads the rooms
    state: State = "current"
    troubles: list[Trouble] = []  # partitions that this replica or a worker does not read
    anew: str = ""  # topics that this replica found made anew since its start
    lost: str = ""  # offsets that it passed over since its start, the last of each partition


def judge(
    *,
    has_read: bool,
    contact_age_s: float,
    lag: int,
    ready_contact_s: float,
    unready_contact_s: float,
    troubles: Sequence[Trouble] = (),
) -> tuple[State, bool, str]:
    """A replica's state, whether it should get requests, and why not or what is wrong.

    Kafka is away for all replicas at once: answers from their tables are better than none, until the tables no longer
    show what is live.
    """
    if not has_read:
        return "reading", False, "still reading room states and profiles"
    if contact_age_s > unready_contact_s:
        return "lost", False, f"no word from Kafka for {contact_age_s:.0f} s: what is held no longer says what is live"
    if contact_age_s > ready_contact_s:
        return "out of touch", True, "no word from Kafka; answers come from what was read before"
    if troubles:
        where = ", ".join(sorted({f"{one.topic}-{one.partition}" for one in troubles}))
        return "troubled", True, f"something is wrong with {where}: what, and what to do, stands under troubles"
    if lag > READ_BEHIND:
        return "behind", True, f"{lag} records behind; answers come from what was read so far"
    return "current", True, ""


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


MEASURED = "measured_texts_per_s"  # in an Encoder's post, once it has measured its speed on this machine


class PostStore(Protocol):
    """A store of posts that all nodes can read."""

    def put(self, key: str, value: bytes) -> None:
        """Replaces the value of a key. May fail while the cluster's head is away."""

    def values(self) -> list[bytes]:
        """All values."""


def troubles_of(status: SystemStatus) -> list[Trouble]:
    """The troubles with partitions that processes report, each once although several may report the same."""
    found = [msgspec.convert(one, Trouble) for post in status.processes for one in post.detail.get("troubles", ())]
    return sorted(set(found), key=lambda trouble: (trouble.topic, trouble.partition, trouble.reader))


class Board:
    """The posts of all processes, by name and rank."""

    def __init__(self, store: PostStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def write(self, name: str, rank: int, pid: int, node: str, detail: dict[str, Any]) -> None:
        """Replaces a process's post."""
        post = Post(name=name, rank=rank, pid=pid, node=node, at_ms=self._clock.now_ms(), detail=detail)
        self._store.put(f"{name}-{rank}", msgspec.json.encode(post))

    def read(self) -> SystemStatus:
        """The posts that are not older than ten seconds, in order of name and rank."""
        now_ms = self._clock.now_ms()
        posts = [msgspec.json.decode(value, type=Post) for value in self._store.values()]
        recent = [post for post in posts if now_ms - post.at_ms < FORGOTTEN_MS]
        return SystemStatus(at_ms=now_ms, processes=sorted(recent, key=lambda post: (post.name, post.rank)))
