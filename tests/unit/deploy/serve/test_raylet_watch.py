"""Tests of the watch over another process."""

from __future__ import annotations

import subprocess
import threading

import pytest

from deploy.serve.raylet_watch import once_ended


def test_the_end_of_a_process_is_acted_on_once_it_comes_and_not_before() -> None:
    watched = subprocess.Popen(["sleep", "60"])
    acted = threading.Event()
    once_ended(watched.pid, acted.set)
    assert not acted.wait(0.1)
    watched.kill()
    assert acted.wait(10.0)
    watched.wait()


def test_a_process_that_has_ended_before_is_an_error() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(ProcessLookupError):
        once_ended(ended.pid, lambda: None)
