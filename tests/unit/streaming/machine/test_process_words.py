"""Tests that a process is known by its words from its first moment on, and that one without words is not waited for."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable

import pytest

from streaming.machine.process_words import command_of, environment_of

STARTS = 500  # of one start in a hundred the file is read too early


@pytest.mark.parametrize(
    ("read", "words"), [(command_of, b"sleep\x0060\0"), (environment_of, b"MARK=1\0")], ids=["command", "environment"]
)
def test_a_process_that_has_just_been_started_has_its_words(read: Callable[[int], bytes], words: bytes) -> None:
    for _ in range(STARTS):
        started = subprocess.Popen(["sleep", "60"], env={"MARK": "1"}, start_new_session=True)
        try:
            assert read(started.pid) == words
        finally:
            started.kill()
            started.wait()


def test_a_process_without_an_environment_has_none() -> None:
    started = subprocess.Popen(["sleep", "60"], env={}, start_new_session=True)
    try:
        assert environment_of(started.pid) == b""
        assert command_of(started.pid) == b"sleep\x0060\0"
    finally:
        started.kill()
        started.wait()


def test_a_zombie_is_not_waited_for() -> None:
    started = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
    started.kill()
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    began = time.monotonic()
    assert command_of(started.pid) == b""
    assert time.monotonic() - began < 0.25
    started.wait()


def test_a_process_that_is_gone_is_an_error() -> None:
    started = subprocess.Popen(["true"])
    started.wait()
    with pytest.raises(OSError, match=str(started.pid)):
        command_of(started.pid)
