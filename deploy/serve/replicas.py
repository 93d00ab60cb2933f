"""The replicas of the workers, put together from their parts. Never does a worker's work.

Plain classes that Serve constructs, checks (`check_health`) and ends (`__del__`). A process imports only what it runs:
torch is loaded by the Encoder, and by a Trainer while it trains, and the kernels of answers by a Recommender alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.serve.handle import DeploymentHandle

from deploy.serve.encoder_batching import RemoteEncoder
from deploy.serve.profile_lookup import PROFILES
from deploy.serve.replica import Replica
from deploy.serve.scaling import lag_by_partition
from streaming.events import ViewerId
from streaming.log.watched_log import TurnCounter

if TYPE_CHECKING:
    from deploy.config.settings import Settings


class RoomWorkerReplica(Replica):
    """The process of a RoomWorker, with its client to the Encoder."""

    name = "room-worker"
    in_group = True

    def __init__(self, settings: Settings, local: bool, encoder: DeploymentHandle) -> None:
        from actors.rooms.worker import RoomWorker  # noqa: PLC0415  a process imports what it runs

        super().__init__(settings, local)
        client = RemoteEncoder(encoder.encode.remote, asyncio.get_running_loop())
        turn_counter = TurnCounter()
        worker = RoomWorker(
            self.open_log(turn_counter),
            self.member,
            config=settings.room_worker,
            window=settings.window,
            encoder=client,
            metrics=self.metrics,
            clock=self.clock,
        )
        self._rooms = worker
        self.run(worker.run, turn_counter, lambda: dataclasses.asdict(worker.status()))

    def renamed(self) -> None:
        self._rooms.rename(self.member)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """The unread records of each partition of this worker, for `scaling_policy.py`. Called by Serve."""
        return lag_by_partition(self._rooms.unread())

    async def __del__(self) -> None:
        await asyncio.to_thread(self.stop_worker)


class ProfileWorkerReplica(Replica):
    """The process of a ProfileWorker."""

    name = "profile-worker"
    in_group = True

    def __init__(self, settings: Settings, local: bool) -> None:
        from actors.profiles.worker import ProfileWorker  # noqa: PLC0415  a process imports what it runs

        super().__init__(settings, local)
        turn_counter = TurnCounter()
        worker = ProfileWorker(
            self.open_log(turn_counter),
            self.member,
            config=settings.profile_worker,
            profile=settings.profile,
            metrics=self.metrics,
            clock=self.clock,
            folder=Path(settings.profile_worker.folder or self._folder / PROFILES),
        )
        self._profiles = worker
        self.run(worker.run, turn_counter, lambda: dataclasses.asdict(worker.status()))

    def renamed(self) -> None:
        self._profiles.rename(self.member)

    async def profile(self, viewer: str, _partition: int) -> bytes | None:
        """A viewer's profile, for replicas that lack it; `owner_router.py` sends the call here by the partition."""
        return self._profiles.profile(ViewerId(viewer))

    def record_autoscaling_stats(self) -> dict[str, float]:
        """The unread records of each partition of this worker, for `scaling_policy.py`. Called by Serve."""
        return lag_by_partition(self._profiles.unread())

    def record_routing_stats(self) -> dict[str, Any]:
        """The partitions of this worker, for `owner_router.py`. Called by Serve once a second."""
        return {"partitions": self._profiles.status().partitions}

    async def __del__(self) -> None:
        await asyncio.to_thread(self.stop_worker)
