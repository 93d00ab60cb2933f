"""Encoders that are a name each, loaded when the test says so. Never a model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from deploy.serve.encoder.encoders_here import EncodersHere
from streaming.clock import ManualClock
from streaming.errors import EncoderUnknown

OWN = "own/fp32/64"
SOON_S = 20.0


@dataclass
class Named:
    """An encoder of this version."""

    version: str


class Loads:
    """Loads encoders by name: at once, or those that are `slow` once they are let. Some cannot be had."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.missing: set[str] = set()
        self.slow: dict[str, threading.Event] = {}
        self.gives: dict[str, str] = {}  # another than was asked for
        self.clock = ManualClock()
        self.here = EncodersHere(self._load, self.clock)

    def _load(self, version: str) -> Named:
        self.begun.append(version)
        if version in self.slow:
            assert self.slow[version].wait(SOON_S)
        if version in self.missing:
            raise EncoderUnknown(f"no registry has {version}")
        return Named(self.gives.get(version, version or OWN))

    def ask(self, version: str) -> Named:
        """The encoder of a version; waits for it."""
        return self.here.ask(version).result(SOON_S)

    def loaded(self) -> list[str]:
        """The versions that are loaded, the most recently asked first."""
        return [one.version for one in self.here.loaded()]


def failure(found: Future[Named]) -> str:
    """Why an encoder cannot be had."""
    err = found.exception(SOON_S)
    assert isinstance(err, EncoderUnknown), err
    return str(err)


def until(holds: Callable[[], bool]) -> None:
    """Waits for another thread."""
    deadline_s = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
