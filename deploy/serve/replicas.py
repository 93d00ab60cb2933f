"""The replicas of the workers and of the Encoder, put together from their parts. Never does a worker's work.

Plain classes that Serve constructs, checks (`check_health`) and ends (`__del__`). A process imports only what it runs:
torch is loaded by the Encoder, and by a Trainer while it trains, and the kernels of answers by a Recommender alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.serve.handle import DeploymentHandle

from actors.rooms.encoder_client import Encoded
from deploy.http.status import MEASURED
from deploy.serve.encoder_batching import Merger, RemoteEncoder
from deploy.serve.profile_lookup import PROFILES
from deploy.serve.replica import Replica
from deploy.serve.scaling import WAITING, lag_by_partition
from streaming.errors import EncoderUnknown
from streaming.events import ViewerId
from streaming.log.watched_log import TurnCounter

if TYPE_CHECKING:
    from deploy.config.settings import Settings
    from training.content.text_encoder import TextEncoder


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


class EncoderReplica(Replica):
    """The process of the Encoder, with the merging of all submissions.

    Where it is the only one, its model loads beside the rest of the application's start: answers need no language
    model, and texts wait for it.
    """

    name = "encoder"

    def __init__(self, settings: Settings, local: bool) -> None:
        super().__init__(settings, local)
        self._measured_texts_per_s = 0.0
        self._loading: Future[TextEncoder] = ThreadPoolExecutor(1, "encoder-loading").submit(self._load)
        if settings.ray.encoders > 1:  # Serve sends texts here once this is constructed; others encode meanwhile
            wait([self._loading])
        self._merger = Merger(self._encode, self.metrics)
        turn_counter = TurnCounter()
        self.run(
            lambda stop: self._merger.watch(stop, turn_counter), turn_counter, self._state
        )  # its work arrives as calls

    async def encode(self, texts: Sequence[str], encoder: str = "") -> Encoded:
        """Encodes texts for RoomWorkers; waits while the model loads. Raises EncoderError."""
        here = await self._of_version(encoder)
        return await self._merger.submit([here.as_passage(text) for text in texts])

    async def encode_asked(self, texts: Sequence[str]) -> Encoded:
        """Encodes texts for callers who wait for their answers, before those of rooms. Raises EncoderError."""
        encoder = await asyncio.shield(asyncio.wrap_future(self._loading))
        return await self._merger.submit([encoder.as_query(text) for text in texts], goes_first=True)

    async def encode_later(self, texts: Sequence[str], encoder: str = "") -> Encoded:
        """Encodes texts for the Trainer: no live room waits for these. Raises EncoderError."""
        here = await self._of_version(encoder)
        return await self._merger.submit([here.as_passage(text) for text in texts], gives_way=True)

    async def _of_version(self, version: str) -> TextEncoder:
        encoder = await asyncio.shield(asyncio.wrap_future(self._loading))
        if version not in ("", encoder.version):
            raise EncoderUnknown(f"there is no encoder {version} here; this one is {encoder.version}")
        return encoder

    def record_autoscaling_stats(self) -> dict[str, float]:
        """The texts that wait here, for `scaling_policy.py`. Called by Serve."""
        return {WAITING: float(self._merger.waiting_texts)}

    def check_health(self) -> None:
        """Checks the replica. Raises WorkerDied, and EncoderError where the model does not load."""
        super().check_health()
        if self._loading.done():
            self._loading.result()

    def _load(self) -> TextEncoder:
        from training.content.text_encoder import TextEncoder  # noqa: PLC0415  torch: half a gigabyte that only this process needs

        encoder = TextEncoder(self.settings.encoder)
        if self.settings.encoder.measure_s:
            self._measured_texts_per_s = encoder.measure(self.settings.encoder.measure_s)
        return encoder

    def _encode(self, texts: Sequence[str]) -> Encoded:
        encoder = self._loading.result()
        return Encoded(encoder.encode_prefixed(texts), encoder.version)

    def _state(self) -> dict[str, Any]:
        if not self._loading.done():
            return {"ready": False}
        if (err := self._loading.exception()) is not None:
            return {"ready": False, "error": str(err)}
        encoder = self._loading.result()
        said = {
            "version": encoder.version,
            "precision": f"{encoder.choice.precision} ({encoder.choice.why})",
            "texts_per_s": encoder.texts_per_s,
            "cache_hits": encoder.cache_hits,
        }
        return {**said, MEASURED: self._measured_texts_per_s} if self._measured_texts_per_s else said
