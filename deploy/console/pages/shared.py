"""What all tabs share: the API, the poller, the clock, and rows that are computed once for all. Never draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploy.console.api import Api
from deploy.console.pages.room_table import room_rows
from deploy.console.poller import Poller
from streaming.clock import Clock


class Shared:
    """What all tabs share. viewers: ids that are looked at until somebody chooses others."""

    def __init__(self, api: Api, clock: Clock, viewers: Sequence[str] = ()) -> None:
        self.api = api
        self.clock = clock
        self.poller = Poller(api, clock)
        self.viewers = tuple(viewers)
        self._rows_of_ms = 0
        self._rows: tuple[dict[str, Any], ...] = ()

    def room_rows(self) -> tuple[dict[str, Any], ...]:
        """The rows of the newest rooms."""
        snapshot = self.poller.snapshot
        if snapshot.rooms_at_ms != self._rows_of_ms:
            self._rows_of_ms = snapshot.rooms_at_ms
            self._rows = room_rows(snapshot.rooms, self.poller.rates, self.clock.monotonic_s())
        return self._rows
