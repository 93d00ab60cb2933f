"""Callers who ask a running system for lists all the time, each answer looked at. No test is here."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Self

from actors.recommend.schema import Answer
from deploy.http.client import Client

PATIENCE_S = 60.0  # for who waits for an answer


class SideBySide:
    """Threads that do the same from when it is entered until it is left."""

    def __init__(self, threads: int, work: Callable[[int, threading.Event], None]) -> None:
        """work: is given the thread's number, and what is set when it is to return."""
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=work, args=(number, self._stop), daemon=True) for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)


class Askers(SideBySide):
    """Ask for one viewer after the other, from several threads, while this is entered."""

    def __init__(self, url: str, threads: int, viewers: int, look: Callable[[Answer], str]) -> None:
        """look: says what is wrong with an answer, "" where nothing is."""
        super().__init__(threads, self._ask)
        self._url = url
        self._viewers = viewers
        self._look = look
        self.took_ms: list[tuple[int, float]] = []  # of each answer, when it came and how long it took
        self.versions: set[str] = set()
        self.failed: list[str] = []
        self.wrong: list[str] = []

    @property
    def answers(self) -> int:
        """The number of answers that came."""
        return len(self.took_ms)

    def _ask(self, number: int, stop: threading.Event) -> None:
        with contextlib.closing(Client(self._url)) as client:
            while not stop.is_set():
                number += 7
                began_s = time.perf_counter()
                try:
                    answer = client.recommend(f"viewer-{number % self._viewers}")
                except Exception as err:  # each is a failed request, whatever it is
                    self.failed.append(f"{type(err).__name__}: {err}")
                    continue
                self.took_ms.append((time.time_ns() // 1_000_000, 1e3 * (time.perf_counter() - began_s)))
                self.versions.add(answer.model_version)
                if complaint := self._look(answer):
                    self.wrong.append(complaint)


def encoders_of_rooms(answer: Answer) -> set[str]:
    """The encoders whose vectors the rooms of an answer have; "" for a room without any."""
    return {item.receipt.encoder_version for item in answer.rooms}
