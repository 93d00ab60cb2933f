"""A watch on whether a cluster has all it should: replicas, workers, Encoders. Never mends anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.http.status import Post
from streaming.errors import TidecastError
from tests.e2e.hosts.cluster import Cluster

PERIOD_S = 0.3
SILENT_MS = 4_000  # a post is renewed every second; a busy process may be late by two
CHECK_S = 15.0  # of the watch itself, to end


@dataclass(frozen=True, slots=True)
class Looked:
    """One look. missing: what was not there, "" where everything was."""

    at_s: float
    missing: str


class Capacity(threading.Thread):
    """Looks three times a second. living: the hosts that should have a replica, to be set by who disturbs them."""

    def __init__(self, cluster: Cluster, living: Sequence[str]) -> None:
        super().__init__(name="capacity", daemon=True)
        self._cluster = cluster
        self._halt = threading.Event()
        self.living = list(living)
        self.looked: list[Looked] = []

    def run(self) -> None:
        while not self._halt.is_set():
            at_s = time.monotonic()
            self.looked.append(Looked(at_s, self.missing()))
            self._halt.wait(PERIOD_S)

    def halt(self) -> None:
        """Stops looking."""
        self._halt.set()
        self.join(CHECK_S)

    def missing(self) -> str:
        """What the cluster has not, in words; "" where it has everything."""
        living, posts = list(self.living), None
        for name in living:  # one without a process of ours cannot say anything
            try:
                posts = self._cluster.posts(name)
                break
            except TidecastError:  # also: it has no word from the head
                continue
        return "an answer from an admin port" if posts is None else self._missing(posts, living)

    def _missing(self, posts: Sequence[Post], living: Sequence[str]) -> str:
        now_ms = time.time_ns() // 1_000_000
        recent = [post for post in posts if now_ms - post.at_ms < SILENT_MS and post.detail.get("ready", True)]
        found = []
        hosts = {post.node for post in recent if post.name == "recommender"}
        found += [f"a replica on {name}" for name in living if self._cluster.host(name).address not in hosts]
        topics, ray = self._cluster.settings.topics, self._cluster.settings.ray
        for worker, partitions in (
            ("room-worker", topics.room_partitions),
            ("profile-worker", topics.viewer_partitions),
        ):
            owned = {at for post in recent if post.name == worker for at in post.detail.get("partitions", ())}
            if rest := set(range(partitions)) - owned:
                found.append(f"a {worker} for {sorted(rest)}")
        encoders = len([post for post in recent if post.name == "encoder"])
        if encoders < ray.encoders:
            found.append(f"{ray.encoders - encoders} encoders")
        return ", ".join(found)
