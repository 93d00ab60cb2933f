"""The encoder that rooms are to be read with: the one that the live version names. Never loads one, never encodes.

It follows the topic `models` with a reader of its own, which costs nothing while nothing is written there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from deploy.serve.encoder.encoders_here import EncodersHere
from streaming.clock import Clock
from streaming.errors import LogError
from streaming.events import ModelVersion
from streaming.log.log import Log
from streaming.log.topics import MODELS
from training.registry.catalog import VersionCatalog

LOGGER = logging.getLogger(__name__)

POLL_S = 0.5  # also how soon it is noticed that an encoder is loaded
AWAY_S = 1.0  # before Kafka is asked again
FIRST_READ_S = 10.0  # of a topic with some versions; then the settings say, as long as Kafka is away


class WantedEncoder:
    """The wanted encoder, for one thread to follow and any to ask.

    It is the live version's. Where that cannot be had here it is that of the version before, which answers on, or else
    that of the settings; so it is for v0, and for versions that were announced without an encoder. An encoder is wanted
    once it is loaded, and until then the one before it is.
    """

    def __init__(self, log: Log, encoders: EncodersHere[Any], clock: Clock) -> None:
        self._log = log
        self._encoders = encoders
        self._clock = clock
        self._announced: VersionCatalog | None = None  # None before it was read once
        self._began_s = clock.monotonic_s()
        self.version = ""  # "" before one is known and loaded
        self.error = ""  # why it is not the live version's, for people
        self.known: Future[None] = Future()  # done once there is one

    @property
    def records(self) -> Sequence[ModelVersion]:
        """The versions announced, as far as they were read."""
        announced = self._announced
        return [] if announced is None else [one.record for one in announced.versions()]

    def run(self, stop: threading.Event) -> None:
        """Follows the topic until `stop`. While Kafka is away, or the topic is not there, it stays as it was."""
        while not stop.is_set():
            try:
                self._follow(stop)
            except LogError as err:
                LOGGER.warning("which encoder is wanted cannot be read: %s", err)
                self._choose()
                stop.wait(AWAY_S)

    def _follow(self, stop: threading.Event) -> None:
        """Reads the topic from its beginning; until `stop`, or until it has another shape."""
        announced, is_read = VersionCatalog(), False
        partitions = self._log.partitions(MODELS)
        source = self._log.reader(partitions)
        try:
            while not stop.is_set():
                batch = source.poll(POLL_S)
                if batch.reshaped:
                    return
                for records in batch.records.values():
                    for record in records:
                        announced.apply(record.key, record.value)
                lag = source.lag()
                is_read = is_read or not any(lag.get(partition, 1) for partition in partitions)
                if is_read:
                    self._announced = announced
                self._choose()
        finally:
            source.close()

    def _choose(self) -> None:
        """Takes the first encoder in question that can be had. While one is loaded, the one before it stays."""
        own = self._encoders.own
        if not own.done() or own.exception() is not None:
            return
        if self._announced is None and self._clock.monotonic_s() - self._began_s < FIRST_READ_S:
            return
        error = ""
        for version in self._in_question(own.result()):
            found = self._encoders.ask(version, is_wanted=True)
            if not found.done():
                return
            if (err := found.exception()) is None:
                self._take(version, f"{error}; rooms are read with {version}" if error else "")
                self._encoders.let_go()
                return
            error = error or f"the live version's encoder {version} cannot be had: {err}"

    def _in_question(self, own: str) -> list[str]:
        announced = self._announced
        live = announced.live if announced is not None else None
        if announced is None or live is None:
            return [own]
        before = [announced.before] if announced.before is not None else []
        return list(dict.fromkeys([*(one.encoder or own for one in (live, *before)), own]))

    def _take(self, version: str, error: str) -> None:
        if error != self.error and error:
            LOGGER.warning("%s", error)
        if version != self.version:
            LOGGER.info("rooms are to be read with the encoder %s", version)
        self.version, self.error = version, error
        if not self.known.done():
            self.known.set_result(None)
