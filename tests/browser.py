"""Debian's Chromium without a window, driven through its DevTools protocol. No test is here."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

START_S = 60.0
CLICKS, BETWEEN_CLICKS_S = 4, 8.0
LONGEST_MESSAGE = 64 << 20  # a screenshot


class Page:
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.asked: list[str] = []  # what the page has fetched, or tried to
        self.said: list[str] = []  # errors of its console
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: Any) -> Any:
        """Sends a command and returns its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=START_S))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            self.asked.append(parameters["request"]["url"])
        if event["method"] == "Runtime.exceptionThrown":
            self.said.append(json.dumps(parameters["exceptionDetails"]))
        if event["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.said.append(parameters["entry"]["text"])

    def open(self, url: str) -> None:
        """Goes there. Returns at once."""
        self.command("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        """What an expression in the page is worth."""
        result = self.command("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def click(self, selector: str, until: str) -> Any:
        """Clicks until an expression is true, and returns it: a page in the making may not heed the first click."""
        for _ in range(CLICKS):
            self.value(f"document.querySelector({selector!r})?.click()")
            with contextlib.suppress(AssertionError):
                return self.wait_for(until, BETWEEN_CLICKS_S)
        return self.wait_for(until)

    def wait_for(self, script: str, seconds: float = 30.0) -> Any:
        """The first value of an expression that is true. Fails with the page's errors where there is none in time."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            if value := self.value(script):
                return value
            time.sleep(0.1)
        text = self.value("document.body && document.body.innerText")
        raise AssertionError(f"{script} is not true after {seconds} s; errors {self.said}; the page says: {text}")


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A tab of a Chromium that reaches this machine alone. Skips the test where there is no Chromium."""
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("chromium is not installed (apt install chromium)")
    process = subprocess.Popen(
        [
            binary,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(_tab(folder), max_size=LONGEST_MESSAGE) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        process.wait(20)


def _tab(folder: Path) -> str:
    """The address of its first tab."""
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError, IndexError, ValueError, StopIteration):  # it is not that far yet
            port = int((folder / "DevToolsActivePort").read_text().split()[0])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                found = json.load(answer)
            return str(next(tab["webSocketDebuggerUrl"] for tab in found if tab["type"] == "page"))
        time.sleep(0.1)
    raise AssertionError(f"chromium has no tab after {START_S} s")
