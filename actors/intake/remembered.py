"""The answers to requests with an Idempotency-Key, for a while and within a bound. Never writes; for one event loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from actors.intake.admission import Receipt
from streaming.errors import KeyReused

ENTRY_BYTES = 600  # of an entry without a refused record
RECORD_BYTES = 300  # and of what is said of a record


@dataclass(slots=True)
class _Entry:
    digest: bytes
    running: asyncio.Task[Receipt] | None  # None once it is answered
    receipt: Receipt | None = None
    until_s: float = 0.0
    size: int = 0


class Remembered:
    """Requests by topic and key: those that run, and the answers to those that are done."""

    def __init__(self, keep_s: float, max_bytes: int, monotonic_s: Callable[[], float]) -> None:
        """keep_s: how long an answer is known. max_bytes: of all answers; the oldest are forgotten first."""
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._monotonic_s = monotonic_s
        self._running: dict[tuple[str, str], _Entry] = {}
        self._done: OrderedDict[tuple[str, str], _Entry] = OrderedDict()  # oldest first
        self._size = 0

    def __len__(self) -> int:
        return len(self._running) + len(self._done)

    def of(self, topic: str, key: str, digest: bytes) -> asyncio.Task[Receipt] | Receipt | None:
        """The request of this key that runs, or its receipt; None for a new one. digest: of its records.

        Raises KeyReused: the key came with other records.
        """
        self._forget()
        entry = self._running.get((topic, key)) or self._done.get((topic, key))
        if entry is None:
            return None
        if entry.digest != digest:
            raise KeyReused(f"the Idempotency-Key {key[:80]!r} came with other records before")
        return entry.running or entry.receipt

    def begin(self, topic: str, key: str, digest: bytes, task: asyncio.Task[Receipt]) -> None:
        """Notes a request that has begun. It is remembered once it is done; if it fails, it is forgotten."""
        entry = self._running[topic, key] = _Entry(digest, task)

        def ended(task: asyncio.Task[Receipt]) -> None:
            del self._running[topic, key]
            if not task.cancelled() and task.exception() is None:
                self._keep((topic, key), entry, task.result())

        task.add_done_callback(ended)

    def _keep(self, place: tuple[str, str], entry: _Entry, receipt: Receipt) -> None:
        entry.running, entry.receipt = None, receipt
        entry.until_s = self._monotonic_s() + self._keep_s
        entry.size = ENTRY_BYTES + RECORD_BYTES * (len(receipt.refused) + len(receipt.mended))
        self._done[place] = entry
        self._size += entry.size
        self._forget()

    def _forget(self) -> None:
        now_s = self._monotonic_s()
        while self._done:
            oldest = next(iter(self._done.values()))
            if oldest.until_s > now_s and self._size <= self._max_bytes:
                return
            self._done.popitem(last=False)
            self._size -= oldest.size
