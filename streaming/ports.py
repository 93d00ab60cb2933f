"""Owns the choice of a free port. Never listens on it.

From below the range that the system gives to outgoing connections (32768 to 60999): a client that keeps trying to reach
a server that is away would otherwise one day be given the server's port as its own, connect to itself, and keep it.
"""

from __future__ import annotations

import contextlib
import random
import socket

FIRST_PORT, LAST_PORT = 20_000, 26_000  # Ray gives 10002 to 19999 to its workers
RAY_PORTS = (26_000, 31_500)  # Ray starts while others have ports that they do not listen on yet


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now. Raises OSError where none is found."""
    return free_ports(1, host)[0]


def free_ports(count: int, host: str = "127.0.0.1", between: tuple[int, int] = (FIRST_PORT, LAST_PORT)) -> list[int]:
    """As many different ones."""
    found: list[int] = []
    draw = random.SystemRandom()
    for _ in range(1_000):
        if len(found) == count:
            return found
        port = draw.randrange(*between)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            if port not in found:
                found.append(port)
    raise OSError(f"no {count} free ports on {host} between {between[0]} and {between[1]}")
