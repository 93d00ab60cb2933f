"""Tests of the client where what answers is not the application."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deploy.http.client import Client, NotUp
from streaming.errors import RequestError
from streaming.events import ChatMessage
from tests.console_api import FakeApi, Stage


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


def test_what_an_installation_offers_and_takes_is_asked_over_http() -> None:
    stage = Stage(rooms=3)
    with FakeApi(stage) as api, contextlib.closing(Client(api.url, admin_url=api.admin_url)) as client:
        assert "/v1/chat" in client.paths()
        assert len(client.similar_rooms("room-0001", limit=2)) == 2
        line = ChatMessage(room="room-0001", viewer="v", text="hello", at_ms=1_700_000_000_000)
        client.write_chat([line])
        assert stage.chat == [line]
        assert client.admin_url == api.admin_url
        stage.refusal = "records are not taken over HTTP here"
        with pytest.raises(RequestError, match="not taken over HTTP here"):
            client.write_chat([line])
