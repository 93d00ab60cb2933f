"""The choice of a free port. Never listens on it.

Ports are taken from below the system's range for outgoing connections (32768 to 60999). Otherwise a client that keeps
trying to reach an absent server could get the server's port as its own, connect to itself, and keep it.
"""

from __future__ import annotations

import contextlib
import random
import socket

FIRST_PORT, LAST_PORT = 20_000, 26_000  # Ray gives 10002 to 19999 to its workers
RAY_PORTS = (26_000, 31_500)  # Ray starts while others have chosen ports that they do not listen on yet


def free_port(host: str = "127.0.0.1") -> int:
    """Finds a port that nobody listens on now. Raises OSError where there is none."""
    return free_ports(1, host)[0]


def free_ports(count: int, host: str = "127.0.0.1", between: tuple[int, int] = (FIRST_PORT, LAST_PORT)) -> list[int]:
    """Finds `count` different ports that nobody listens on now. Raises OSError where there are not as many."""
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
