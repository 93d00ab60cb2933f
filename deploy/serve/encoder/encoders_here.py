"""The encoders that this process holds, loaded in a thread of their own while others encode. Never encodes.

There are two, as while one takes the place of another; a third is there for a while where the live version changes
twice in a row. Of those that nobody asks for any more, the least recently asked one goes.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from streaming.clock import Clock
from streaming.errors import EncoderUnknown

LOGGER = logging.getLogger(__name__)

MOST = 2
IN_USE_S = 30.0  # since it was asked for: RoomWorkers ask several times a second, a Trainer once a block of texts
RETRY_S = 15.0  # a registry that was away is asked again, and not by every call
NICENESS = 5  # of loading: the encoder that is in use comes first


class Versioned(Protocol):
    """An encoder; `training.content.text_encoder.TextEncoder` is one."""

    version: str


E = TypeVar("E", bound=Versioned)


@dataclass(slots=True)
class _Held(Generic[E]):
    loading: Future[E]
    asked_s: float = float("-inf")
    failed_s: float | None = None


class EncodersHere(Generic[E]):
    """Encoders by version. Any thread may ask.

    The encoder of the settings is loaded first: `own` is its version, or why it does not load.
    """

    def __init__(self, load: Callable[[str], E], clock: Clock) -> None:
        """load: loads the encoder of a version, "" for that of the settings. Called by one thread."""
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, _Held[E]] = {}
        self._thread = ThreadPoolExecutor(1, "encoder-loading")
        self.own: Future[str] = self._thread.submit(self._load_own)

    def ask(self, version: str, *, is_wanted: bool = False) -> Future[E]:
        """The encoder of a version; done at once where it is loaded, else once it is. Never blocks.

        is_wanted: rooms are to be read with it, so it is loaded also where MOST others are in use. The future raises
        EncoderUnknown where the encoder cannot be had, for RETRY_S without another try.
        """
        with self._lock:
            now_s = self._clock.monotonic_s()
            held = self._held.get(version)
            if held is None or (held.failed_s is not None and now_s - held.failed_s > RETRY_S):
                held = self._held[version] = _Held(self._thread.submit(self._load_version, version, is_wanted))
            held.asked_s = now_s
            return held.loading

    def loaded(self) -> Sequence[E]:
        """The encoders that are loaded, the most recently asked first."""
        with self._lock:
            held = sorted(self._held.values(), key=lambda one: -one.asked_s)
        return [one.loading.result() for one in held if _is_loaded(one.loading)]

    def _load_own(self) -> str:
        encoder = self._load("")
        there: Future[E] = Future()
        there.set_result(encoder)
        with self._lock:
            self._held[encoder.version] = _Held(there)
        least = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, least))  # on Linux of this thread, which loads the others
        return encoder.version

    def let_go(self) -> None:
        """Lets encoders go that are more than MOST, and that nobody has asked for during IN_USE_S."""
        with self._lock:
            self._let_go(MOST)

    def _load_version(self, version: str, is_wanted: bool) -> E:
        try:
            encoder = self._of_version(version, is_wanted)
        except Exception as err:  # whatever a library raises of a damaged model: this process and its encoders go on
            with self._lock:
                self._held[version].failed_s = self._clock.monotonic_s()
            known = err if isinstance(err, EncoderUnknown) else EncoderUnknown(f"the encoder {version}: {err!r}")
            LOGGER.warning("%s", known)
            raise known from err
        LOGGER.info("the encoder %s is loaded", version)
        return encoder

    def _of_version(self, version: str, is_wanted: bool) -> E:
        self.own.result()
        with self._lock:
            there = self._held[version].loading
        if _is_loaded(there):  # it is that of the settings, which was not known by its version before
            return there.result()
        with self._lock:
            others = self._let_go(MOST - 1)
        if len(others) >= MOST and not is_wanted:
            raise EncoderUnknown(
                f"the encoder {version} is not loaded: {MOST} others are in use here, {' and '.join(others)}"
            )
        encoder = self._load(version)
        if encoder.version != version:
            raise EncoderUnknown(f"asked for the encoder {version}, what was loaded is {encoder.version}")
        return encoder

    def _let_go(self, most: int) -> list[str]:
        """Lets encoders go that are more than so many, unless they are in use. Those that are left."""
        now_s = self._clock.monotonic_s()
        loaded = [one for one, held in self._held.items() if _is_loaded(held.loading)]
        for oldest in sorted(loaded, key=lambda one: self._held[one].asked_s)[: max(0, len(loaded) - most)]:
            if now_s - self._held[oldest].asked_s > IN_USE_S:
                LOGGER.info("the encoder %s goes: nobody asks for it", oldest)
                del self._held[oldest]
                loaded.remove(oldest)
        return loaded


def _is_loaded(loading: Future[E]) -> bool:
    return loading.done() and loading.exception() is None
