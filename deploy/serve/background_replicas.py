"""The replicas that no answer needs: Archiver and Trainer. Never does a worker's work."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from ray.serve.handle import DeploymentHandle

from deploy.serve.encoder_batching import RemoteEncoder
from deploy.serve.replica import Replica
from streaming.log.watched_log import TurnCounter

if TYPE_CHECKING:
    from deploy.config.settings import Settings


class ArchiverReplica(Replica):
    """The Archiver's process. One is enough; while two run, in a restart, readers still give each record once."""

    name = "archiver"

    def __init__(self, settings: Settings, local: bool) -> None:
        from streaming.archive.archiver import Archiver  # noqa: PLC0415  a process imports what it runs

        super().__init__(settings, local)
        turn_counter = TurnCounter()
        archiver = Archiver(self.open_log(turn_counter, in_bulk=True), settings.archive, self.metrics, self.clock)
        self.run(archiver.run, turn_counter, lambda: dataclasses.asdict(archiver.status()))
        self.leave_with_raylet()

    async def __del__(self) -> None:
        await asyncio.to_thread(self.stop_worker)


class TrainerReplica(Replica):
    """The Trainer's process. One works at a time; another, of whatever installation, waits for its lease."""

    name = "trainer"

    def __init__(self, settings: Settings, local: bool, encoder: DeploymentHandle) -> None:
        from deploy.train.trainer import LEASE_SESSION_S, Trainer, trainers_lease  # noqa: PLC0415  a process imports what it runs
        from streaming.archive.store import open_store  # noqa: PLC0415
        from training.registry.registry import Registry  # noqa: PLC0415

        super().__init__(settings, local)
        turn_counter = TurnCounter()
        client = RemoteEncoder(encoder.encode_later.remote, asyncio.get_running_loop())
        log = self.open_log(turn_counter, session_s=LEASE_SESSION_S)
        lease = trainers_lease(log)
        store = open_store(settings.registry.uri, "registry")
        registry = Registry(store, log, self.clock, guard=lease.require)
        trainer = Trainer(
            settings, client, registry, lease, metrics=self.metrics, clock=self.clock, turn_counter=turn_counter
        )
        self.run(trainer.run, turn_counter, lambda: dataclasses.asdict(trainer.state()))
        self.leave_with_raylet()

    async def __del__(self) -> None:
        await asyncio.to_thread(self.stop_worker)
