"""What a process was started with: its command line and its environment, from /proc. Linux only."""

from __future__ import annotations

import time
from pathlib import Path

EXEC_S = 0.5  # far longer than a process is between two programs, on a busy machine too
EVERY_S = 0.001


def command_of(pid: int) -> bytes:
    """The command line, each argument ended by a zero byte. Raises OSError where the process is gone."""
    return _read(pid, "cmdline", beside="environ")


def environment_of(pid: int) -> bytes:
    """The environment, each NAME=value ended by a zero byte. Raises OSError where it is gone or another user's."""
    return _read(pid, "environ", beside="cmdline")


def _read(pid: int, name: str, beside: str) -> bytes:
    """Reads one of both files.

    While a program replaces another in a process (execve), both are empty for a moment, which begins before the one
    who started it goes on. So a process that runs a program is asked again: until the other file has words, which
    says that it really has none of these, and at most for EXEC_S.
    """
    process = Path(f"/proc/{pid}")
    until = time.monotonic() + EXEC_S
    begun = False
    while not (words := (process / name).read_bytes()):
        if begun or not _runs_a_program(process) or time.monotonic() > until:
            break
        begun = bool((process / beside).read_bytes())
        time.sleep(EVERY_S)
    return words


def _runs_a_program(process: Path) -> bool:
    """Whether there is a file that it runs. For a zombie there is none, nor for a thread of the kernel."""
    try:
        return bool((process / "exe").readlink())
    except FileNotFoundError:
        return False
