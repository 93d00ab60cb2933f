"""The replica of the Encoder: texts of everybody, each with the encoder that was asked for. Never chooses a text."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.rooms.encoder_client import Encoded
from deploy.http.status import MEASURED
from deploy.serve.encoder.encoders_here import EncodersHere
from deploy.serve.encoder.wanted_encoder import WantedEncoder
from deploy.serve.encoder_batching import Merger
from deploy.serve.replica import Replica
from deploy.serve.scaling import WAITING
from deploy.serve.worker_thread import WorkerDied
from streaming.broker import KafkaLog
from streaming.log.watched_log import TurnCounter

if TYPE_CHECKING:
    from deploy.config.settings import Settings
    from training.content.text_encoder import TextEncoder


class EncoderReplica(Replica):
    """The process of the Encoder, with the merging of all submissions.

    Where it is the only one, its model loads beside the rest of the application's start: answers need no language
    model, and texts wait for it.
    """

    name = "encoder"

    def __init__(self, settings: Settings, local: bool) -> None:
        super().__init__(settings, local)
        self._measured_texts_per_s = 0.0
        self._encoders: EncodersHere[TextEncoder] = EncodersHere(self._load, self.clock)
        log = KafkaLog(self.settings.kafka, settings.topics.prefix, skip_damaged=settings.log.skip_damaged)
        self._wanted = WantedEncoder(log, self._encoders, self.clock)
        self._stop = threading.Event()
        self._follower = threading.Thread(target=self._wanted.run, args=(self._stop,), name="wanted", daemon=True)
        self._follower.start()
        if settings.ray.encoders > 1:  # Serve sends texts here once this is constructed; others encode meanwhile
            wait([self._encoders.own])
        self._merger = Merger(self.metrics, lambda: self._wanted.version)
        turn_counter = TurnCounter()
        self.run(
            lambda stop: self._merger.watch(stop, turn_counter), turn_counter, self._state
        )  # its work arrives as calls

    async def encode(self, texts: Sequence[str], encoder: str = "") -> Encoded:
        """Encodes texts of rooms with the encoder of this version, "" for the wanted one. Waits while it is loaded.

        Raises EncoderUnknown: it cannot be had here. Raises EncoderError.
        """
        here = await self._of_version(encoder)
        return await self._merger.submit([here.as_passage(text) for text in texts], here)

    async def encode_asked(self, texts: Sequence[str], encoder: str = "") -> Encoded:
        """As `encode`, for callers who wait for their answers, before the texts of rooms."""
        here = await self._of_version(encoder)
        return await self._merger.submit([here.as_query(text) for text in texts], here, goes_first=True)

    async def encode_later(self, texts: Sequence[str], encoder: str = "") -> Encoded:
        """As `encode`, for the Trainer: no live room waits for these texts."""
        here = await self._of_version(encoder)
        return await self._merger.submit([here.as_passage(text) for text in texts], here, gives_way=True)

    async def _of_version(self, version: str) -> TextEncoder:
        await asyncio.shield(asyncio.wrap_future(self._encoders.own))
        if not version:
            await asyncio.shield(asyncio.wrap_future(self._wanted.known))
        return await asyncio.shield(asyncio.wrap_future(self._encoders.ask(version or self._wanted.version)))

    def record_autoscaling_stats(self) -> dict[str, float]:
        """The texts that wait here, for `scaling_policy.py`. Called by Serve."""
        return {WAITING: float(self._merger.waiting_texts)}

    def check_health(self) -> None:
        """Checks the replica. Raises WorkerDied, and EncoderError where the model of the settings does not load.

        Another encoder that cannot be had is no reason: status says so.
        """
        super().check_health()
        if self._encoders.own.done():
            self._encoders.own.result()
        if not self._follower.is_alive() and not self._stop.is_set():
            raise WorkerDied(f"the thread {self._follower.name} of {self.member} has ended")

    def _load(self, version: str) -> TextEncoder:
        from training.content.encoder_by_version import config_of  # noqa: PLC0415
        from training.content.text_encoder import TextEncoder  # noqa: PLC0415  torch: half a gigabyte that only this process needs

        if version:
            return TextEncoder(config_of(version, self.settings.encoder, self._fetch))
        encoder = TextEncoder(self.settings.encoder)
        if self.settings.encoder.measure_s:
            self._measured_texts_per_s = encoder.measure(self.settings.encoder.measure_s)
        return encoder

    def _fetch(self, name: str, into: Path) -> None:
        """Fetches an encoder's files from the registry. Raises VersionError."""
        from training.registry.registry import fetch_encoder  # noqa: PLC0415

        fetch_encoder(name, into, self.settings.registry.uri, self._wanted.records)

    def _state(self) -> dict[str, Any]:
        own, wanted = self._encoders.own, self._wanted.version
        if own.done() and (err := own.exception()) is not None:
            return {"ready": False, "error": str(err)}
        if not wanted:
            return {"ready": False}
        others = []
        said: dict[str, Any] = {"version": wanted}
        for encoder in self._encoders.loaded():
            if encoder.version == wanted:
                said["precision"] = f"{encoder.choice.precision} ({encoder.choice.why})"
                said |= {"texts_per_s": encoder.texts_per_s, "cache_hits": encoder.cache_hits}
            else:
                others.append(encoder.version)
        if self._measured_texts_per_s:
            said[MEASURED] = self._measured_texts_per_s
        # no "error": that ends the start of the application, and rooms are read all the same
        return {**said, "beside": ", ".join(others), "missing": self._wanted.error}

    async def __del__(self) -> None:
        self._stop.set()
        await asyncio.to_thread(self.stop_worker)
