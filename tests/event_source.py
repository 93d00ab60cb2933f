"""A client of a stream of server-sent events, for tests. No test is here."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading

TIMEOUT_S = 60.0


class EventSource:
    """A client of a stream as a browser has one: it comes back by itself, with the id of its last event."""

    def __init__(self, port: int, target: str, last_event_id: str = "") -> None:
        self.events: list[tuple[str, list[str]]] = []  # kind, and ids of rooms
        self.heartbeats = self.connections = 0
        self.last_event_id = last_event_id
        self._port, self._target = port, target
        self._stop = threading.Event()
        self._retry_s = 0.1
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> EventSource:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    @property
    def rooms(self) -> list[str]:
        """The list as it is shown to the viewer."""
        rooms: list[str] = []
        for kind, named in self.events:
            rooms = named if kind == "list" else [room for room in rooms if room not in named]
        return rooms

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(self._opened()) as answer:
                self._read(answer)
            self._stop.wait(self._retry_s)

    def _opened(self) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        headers = {"Last-Event-ID": self.last_event_id} if self.last_event_id else {}
        connection.request("GET", self._target, headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise http.client.HTTPException(answer.status)
        self.connections += 1
        return answer

    def _read(self, answer: http.client.HTTPResponse) -> None:
        kind = ""
        while not self._stop.is_set() and (line := answer.readline().decode()):
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "retry":
                self._retry_s = int(value) / 1000
            elif field == "event":
                kind = value
            elif field == "id":
                self.last_event_id = value
            elif field == "data":
                rooms = [room if isinstance(room, str) else room["room"] for room in json.loads(value)["rooms"]]
                self.events.append((kind, rooms))
            elif line == ":\n":
                self.heartbeats += 1
