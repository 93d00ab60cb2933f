"""What all tabs share: the API, the poller, the clock, and rows that are computed once for all. Never draws."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, get_args

from deploy.console.api import Api
from deploy.console.control import Control
from deploy.console.map_picture import Kind, Picture
from deploy.console.pages.map_chart import disc_rows, trail_rows
from deploy.console.pages.room_table import room_rows
from deploy.console.poller import Poller
from streaming.clock import Clock


class Shared:
    """What all tabs share. viewers: ids that are looked at until somebody chooses others.

    control: what a demo that has started this console lets it do; None on every other system.
    """

    def __init__(self, api: Api, clock: Clock, viewers: Sequence[str] = (), control_fd: int | None = None) -> None:
        self.api = api
        self.clock = clock
        self.poller = Poller(api, clock)
        self.viewers = tuple(viewers)
        self.control = None if control_fd is None else Control(socket.socket(fileno=control_fd))
        self._rows_of_ms = 0
        self._rows: tuple[dict[str, Any], ...] = ()
        self._pictures = MappingProxyType({kind: Picture(kind) for kind in get_args(Kind)})
        self._drawn: dict[Kind, tuple[int, tuple[list[Any], list[Any]]]] = {}

    def room_rows(self) -> tuple[dict[str, Any], ...]:
        """The rows of the newest rooms."""
        snapshot = self.poller.snapshot
        if snapshot.rooms_at_ms != self._rows_of_ms:
            self._rows_of_ms = snapshot.rooms_at_ms
            self._rows = room_rows(snapshot.rooms, self.poller, self.clock.monotonic_s())
        return self._rows

    def picture(self, kind: Kind) -> tuple[Picture, tuple[list[Any], list[Any]]]:
        """The newest map, coloured by this, with the rows of its discs and of its trails."""
        snapshot, picture = self.poller.snapshot, self._pictures[kind]
        at_ms, rows = self._drawn.get(kind, (0, ([], [])))
        if snapshot.map is not None and at_ms != snapshot.map_at_ms:
            picture.update(snapshot.map, self.poller.trails.trails)
            rows = disc_rows(picture), trail_rows(picture)
            self._drawn[kind] = snapshot.map_at_ms, rows
        return picture, rows
