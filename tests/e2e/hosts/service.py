"""What a Kubernetes Service does for callers: which hosts they are sent to. Never asks for recommendations."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Sequence

PERIOD_S = 1.0
MOST_FAILURES = 2  # as the probe of deploy/k8s/ray_service.py


class Service(threading.Thread):
    """Asks `/readyz` of each host once a second. A host that is deleted is sent nobody from then on."""

    def __init__(self, port: int) -> None:
        """port: of the application."""
        super().__init__(name="service", daemon=True)
        self._port = port
        self._halt = threading.Event()
        self._failures: dict[str, int] = {}
        self._ready: set[str] = set()

    def add(self, addresses: Sequence[str]) -> None:
        """Takes hosts that may get ready."""
        self._failures.update(dict.fromkeys(addresses, 0))

    def delete(self, addresses: Sequence[str]) -> None:
        """Sends nobody there any more: their pods are being deleted."""
        for address in addresses:
            self._failures.pop(address, None)
            self._ready.discard(address)

    def sends_to(self, address: str) -> bool:
        """Whether callers are sent to a host now."""
        return address in self._ready

    def run(self) -> None:
        while not self._halt.wait(PERIOD_S):
            for address in list(self._failures):
                self._look(address)

    def halt(self) -> None:
        """Stops looking."""
        self._halt.set()
        self.join()

    def _look(self, address: str) -> None:
        failures = 0 if self._is_ready(address) else self._failures.get(address, 0) + 1
        if address not in self._failures:  # deleted meanwhile
            return
        self._failures[address] = failures
        if not failures:
            self._ready.add(address)
        elif failures >= MOST_FAILURES:
            self._ready.discard(address)

    def _is_ready(self, address: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}:{self._port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
