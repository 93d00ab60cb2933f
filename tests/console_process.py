"""A `tidecast console` in a process of its own, and Chromium before it. No test is here."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STOP_S = 20


@dataclass(frozen=True)
class ConsoleProcess:
    """A console that can be opened. complaints: what it has printed on stderr, once it has ended."""

    url: str
    process: subprocess.Popen[str]

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Sends a signal; returns the exit code and what was printed on stderr."""
        self.process.send_signal(number)
        said = self.process.communicate(timeout=STOP_S)[1]
        return self.process.returncode, said


@contextlib.contextmanager
def console_process(
    url: str, admin_url: str = "", options: Sequence[str] = (), pass_fds: Sequence[int] = ()
) -> Iterator[ConsoleProcess]:
    """A console about the system at `url`, on a free port."""
    words = ["console", "--url", url, "--port", "0", "--no-browser", *(["--admin-url", admin_url] if admin_url else [])]
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", *words, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=pass_fds,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("console"), line + process.communicate(timeout=STOP_S)[1]
        yield ConsoleProcess(line.split()[1], process)
    finally:
        process.kill()
        process.communicate(timeout=STOP_S)


@contextlib.contextmanager
def chromium_browser() -> Iterator[Browser]:
    """Debian's Chromium, which reaches this machine alone. Skips the test where there is none."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  the unit tests need none of it

    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("chromium is not installed (apt install chromium)")
    rules = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox", "--disable-gpu", rules])
        try:
            yield browser
        finally:
            browser.close()
