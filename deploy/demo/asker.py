"""The demo's requests: asks as viewers would, and has each answer checked. Never shows anything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from deploy.demo.promises import Promises
from deploy.http.client import Client
from streaming.clock import Clock
from streaming.errors import TidecastError
from tidecast_client import Answer

ASKED_VIEWERS = 100  # the most active ones, and now and then a cold-start viewer
STRANGER = "nobody-knows-me"


class Asker:
    """A client that asks over one connection and has every answer checked. For one thread.

    viewers: gives the most active viewers, at most the number asked for.
    """

    def __init__(
        self, client: Client, promises: Promises, viewers: Callable[[int], Sequence[str]], clock: Clock
    ) -> None:
        self._client = client
        self._promises = promises
        self._viewers = viewers
        self._clock = clock

    def run(self, stop: threading.Event, every_s: float, limit: int) -> None:
        """Asks for one viewer after the other until `stop`; a slow answer delays the next request."""
        turn = 0
        while not stop.wait(every_s):
            asked = [*self._viewers(ASKED_VIEWERS), STRANGER]
            self.ask(asked[turn % len(asked)], limit)
            turn += 1
        self._client.close()

    def ask(self, viewer: str, limit: int) -> Answer | None:
        """Asks once and has the answer checked; None where the request failed, which is noted."""
        began_ms = self._clock.now_ms()
        try:
            answer = self._client.recommend(viewer, limit=limit)
        except TidecastError as err:
            self._promises.check_error(str(err))
            return None
        self._promises.check_answer(answer, began_ms)
        return answer
