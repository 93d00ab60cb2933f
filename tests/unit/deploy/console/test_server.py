"""Tests of deploy.console.server and its command: addresses, refusals, requests as a shell asks them."""

from __future__ import annotations

import json
import shlex
import socket
from collections.abc import Iterator

import pytest

from actors.recommend.schema import Query
from actors.requests.filters import Filters
from deploy import cli
from deploy.commands.console import open_browser
from deploy.config.console_settings import ConsoleConfig
from deploy.console.api import as_curl
from deploy.console.server import CannotListen, open_socket, url_of
from streaming.errors import ConfigError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


def test_a_taken_port_is_left_for_a_free_one(taken: int) -> None:
    with open_socket(ConsoleConfig(port=taken), exactly=False) as listening:
        assert listening.getsockname()[1] != taken
        assert url_of(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_port_that_was_asked_for_is_no_other(taken: int) -> None:
    with pytest.raises(CannotListen, match=f"127.0.0.1 port {taken} cannot be had .*--port"):
        open_socket(ConsoleConfig(port=taken), exactly=True)


def test_a_host_of_another_machine_is_said() -> None:
    with pytest.raises(CannotListen, match=r"console\.host"):
        open_socket(ConsoleConfig(host="192.0.2.7", expose=True), exactly=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.5", "console.example"])
def test_other_machines_are_let_in_only_by_who_knows_what_that_means(host: str) -> None:
    with pytest.raises(ConfigError, match=r"write chat into any room.*--expose"):
        ConsoleConfig(host=host)
    assert ConsoleConfig(host=host, expose=True).host == host


@pytest.mark.parametrize(
    "url", ["localhost:8000", "https://h:1", "http://h", "http://h:99999", "http://h:1/v1", "ftp://h:1"]
)
def test_an_address_of_the_api_is_whole(url: str) -> None:
    with pytest.raises(ConfigError, match=r"console\.url is .*like http://127\.0\.0\.1:8000"):
        ConsoleConfig(url=url)


def test_the_command_refuses_to_be_exposed_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["console", "--host", "0.0.0.0"]) == 2
    assert "asks for no password" in capsys.readouterr().err


def test_a_request_for_a_shell_survives_quotes() -> None:
    words = shlex.split(as_curl("http://h:1/v1/recommend", {"viewer": "o'brien $(rm) `x`"}))
    assert words[:4] == ["curl", "-s", "http://h:1/v1/recommend", "-d"]
    assert json.loads(words[4]) == {"viewer": "o'brien $(rm) `x`"}
    query = Query(viewer="bob", limit=5, filters=Filters(language="pt"))
    assert json.loads(shlex.split(as_curl("http://h:1", query))[4]) == {
        "viewer": "bob",
        "limit": 5,
        "filters": {"language": "pt"},
    }
    assert as_curl("http://h:1/v1/status") == "curl -s http://h:1/v1/status"


def test_no_browser_is_opened_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    open_browser("http://127.0.0.1:8080", wanted=True)
    assert opened == []
