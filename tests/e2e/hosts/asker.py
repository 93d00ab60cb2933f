"""Steady questions to one host, as its users ask, and what became of each. Never disturbs anything."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from actors.recommend.schema import Answer
from tests.e2e.running import Ends

PERIOD_S = 0.1
UNKNOWN_MS = 1_000_000  # for an answer that lacks a probe
TIMEOUT_S = 10.0  # of a patient user
BODY = b'{"viewer": "viewer%d", "limit": 100}'


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. began_s: by the monotonic clock. stale_ms: age of the newest text of the worst probe."""

    began_s: float
    took_s: float
    failure: str
    stale_ms: int


class Asker(threading.Thread):
    """Asks one host, a question every tenth of a second, and checks every room of every answer.

    A connection that is refused is tried once more, as a load balancer does; that is no failure.
    """

    def __init__(
        self,
        address: str,
        port: int,
        probes: Sequence[str],
        ends: Ends,
        is_asked: Callable[[], bool] = lambda: True,
        *,
        key: str,
    ) -> None:
        """probes: rooms in which somebody writes every second. is_asked: whether callers are sent to this host now.

        key: of the API.
        """
        super().__init__(name=f"asks {address}", daemon=True)
        self._address = (address, port)
        self._probes = {*probes}
        self._ends = ends
        self._is_asked = is_asked
        self._headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        self._decode = msgspec.json.Decoder(Answer).decode
        self._connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)
        self._halt = threading.Event()
        self.asked: list[Asked] = []
        self.dead: list[str] = []

    def run(self) -> None:
        while not self._halt.is_set():
            if not self._is_asked():
                self._halt.wait(PERIOD_S)
                continue
            began_s, began_ms = time.monotonic(), time.time_ns() // 1_000_000
            failure, stale_ms = "", 0
            try:
                status, body = self._ask()
            except (OSError, http.client.HTTPException) as err:
                self._connection.close()
                failure = f"{type(err).__name__}: {err}"
            else:
                if status == http.client.OK:
                    answer = self._decode(body)
                    stale_ms = self._stale_ms(answer)
                    self._check(answer, began_ms)
                else:
                    failure = f"{status}: {body[:300].decode(errors='replace')}"
            took_s = time.monotonic() - began_s
            self.asked.append(Asked(began_s, took_s, failure, stale_ms))
            self._halt.wait(max(0.0, PERIOD_S - took_s))
        self._connection.close()

    def halt(self) -> None:
        """Stops asking."""
        self._halt.set()
        self.join(2 * TIMEOUT_S)

    def since(self, began_s: float) -> list[Asked]:
        """The questions asked from then on."""
        return [asked for asked in list(self.asked) if asked.began_s >= began_s]

    def _ask(self) -> tuple[int, bytes]:
        for attempt in (1, 2):
            try:
                body = BODY % (len(self.asked) % 200)
                self._connection.request("POST", "/v1/recommend", body, self._headers)
                response = self._connection.getresponse()
                return response.status, response.read()
            except (ConnectionRefusedError, http.client.RemoteDisconnected):
                # the latter: an idle connection was closed before it was used again
                self._connection.close()
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def _stale_ms(self, answer: Answer) -> int:
        """How old the newest text is that the answer knows of the probe of which it knows the oldest."""
        found = {item.room: item.receipt.age_ms for item in answer.rooms if item.room in self._probes}
        return max(found.values()) if len(found) == len(self._probes) else UNKNOWN_MS

    def _check(self, answer: Answer, began_ms: int) -> None:
        for item in answer.rooms:
            if self._ends.known_ms(item.room) < began_ms:
                self.dead.append(f"{item.room}, {began_ms - self._ends.applied_ms[item.room]} ms after its end")
