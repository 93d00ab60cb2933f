"""Tests of the client where what answers is not the application."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deploy.http.client import Client, NotUp


class Nothing(BaseHTTPRequestHandler):
    """Answers as Serve does while it has no application."""

    def do_GET(self) -> None:
        body = f"Path '{self.path}' not found".encode()
        self.send_response(404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def client() -> Iterator[Client]:
    with HTTPServer(("127.0.0.1", 0), Nothing) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        with contextlib.closing(Client(url, admin_url=url)) as client:
            yield client
        server.shutdown()
        thread.join()


def test_an_address_without_the_application_is_said_not_to_be_up(client: Client) -> None:
    with pytest.raises(NotUp, match="/metrics answers 404: Path '/metrics' not found"):
        client.metrics()
    with pytest.raises(NotUp, match="/v1/status answers 404"):
        client.status()
    with pytest.raises(NotUp, match=r"/v1/rooms.* answers 404"):
        client.rooms(limit=1)


def test_the_door_for_state_is_that_of_the_next_port_and_a_shut_one_names_its_setting() -> None:
    with contextlib.closing(Client("http://127.0.0.1:1")) as client:
        with pytest.raises(NotUp, match=r"http://127.0.0.1:2 .*http\.admin_port"):
            client.status()
        with pytest.raises(NotUp, match=r"http://127.0.0.1:1 .*http\.port"):
            client.rooms()
