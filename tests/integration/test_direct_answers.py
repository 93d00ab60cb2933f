"""Direct answers of a real replica of Serve: the same as by the ordinary way, scaled by and drained without a loss."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deploy.config.ray_settings import RayConfig
from deploy.ray.local_ray import LocalRay
from streaming.machine.ports import free_port
from tests.askers import SideBySide
from tests.direct_requests import CASES, Case, asks, get, without_ids
from tests.eventually import eventually
from tests.served_direct import WHERE

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
LAST = get("/nowhere", "connection: close")  # behind a case's requests, so that the connection ends
SIDE_BY_SIDE = 16  # conversations: most of their time goes by waiting
PAUSE_S = 0.02  # between two pieces: they should not arrive as one


class Stack:
    """A Ray with the ingress of tests.served_direct."""

    def __init__(self) -> None:
        self.port = free_port()
        self._ray = LocalRay(RayConfig())

    def start(self) -> None:
        self._ray.start()

    def deploy(self, kind: str) -> None:
        command = [sys.executable, "-m", "tests.served_direct", self._ray.address, str(self.port), kind]
        environment = {**os.environ, **self._ray.environment()}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4_000:]

    def where(self) -> Mapping[str, Any]:
        """One of the replicas, whichever the proxy asks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", WHERE)
            response = connection.getresponse()
            return json.loads(response.read()) if response.status == 200 else {}
        except OSError:
            return {}
        finally:
            connection.close()

    def replicas(self, number: int) -> list[Mapping[str, Any]]:
        """All of them, the direct one first, once there are so many that answer."""
        found: dict[int, Mapping[str, Any]] = {}

        def all_there() -> bool:
            where = self.where()
            if where:
                found[where["pid"]] = where
            return len(found) == number

        eventually(all_there, f"{number} replicas answer")
        return sorted(found.values(), key=lambda one: -one["direct"])

    def stop(self) -> None:
        self._ray.kill()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stack = Stack()
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def conversation(port: int, pieces: Sequence[bytes]) -> bytes:
    """All that is sent back on a connection that brings these pieces."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:  # it has been answered and closed
                break
            time.sleep(PAUSE_S)
        got = b""
        try:
            while more := connection.recv(1 << 16):
                got += more
        except ConnectionResetError:  # bytes of ours were left unread
            pass
        return got


def test_a_replica_says_the_same_by_both_ways(stack: Stack) -> None:
    stack.deploy("both")
    direct, ordinary = stack.replicas(2)
    assert (direct["direct"], ordinary["direct"]) == (1, 0)
    said = conversation(direct["port"], [asks("slow"), LAST]), conversation(ordinary["port"], [asks("slow"), LAST])
    assert [b'"direct":true' in one for one in said] == [True, False]

    def both(case: Case) -> list[bytes]:
        pieces = [*case.pieces, LAST] if case.whole else case.pieces
        return [without_ids(conversation(replica["port"], pieces)) for replica in (direct, ordinary)]

    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        said_of = dict(zip(CASES, threads.map(both, CASES.values()), strict=True))
    assert {name: said for name, said in said_of.items() if said[0] != said[1]} == {}
    assert [name for name, said in said_of.items() if not said[0].startswith(b"HTTP/1.1 ")] == []


class Callers(SideBySide):
    """Connections that each ask again as soon as they are answered, through the proxy. For one test."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__(number, self._ask)
        self._port = port
        self.pids: Counter[int] = Counter()
        self.failed: list[str] = []
        self.ordinary = 0

    def _ask(self, _number: int, stop: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        while not stop.is_set():
            try:
                connection.request("POST", "/v1/recommend", b'{"viewer":"slow"}')
                response = connection.getresponse()
                body = response.read()
                if response.status == 200:
                    said = json.loads(body)
                    self.pids[said["pid"]] += 1
                    self.ordinary += not said["direct"]
                else:
                    self.failed.append(f"{response.status} {body!r}")
            except (OSError, http.client.HTTPException) as err:
                self.failed.append(repr(err))
                connection.close()
        connection.close()


def test_serve_scales_by_direct_answers_and_a_replica_is_drained_under_load_without_a_loss(stack: Stack) -> None:
    stack.deploy("scaled")

    def since(callers: Callers, seen: Counter[int]) -> set[int]:
        return {pid for pid, count in callers.pids.items() if count > seen[pid]}

    with Callers(stack.port, 2) as few:  # goes on all the while
        with Callers(stack.port, 24) as many:
            eventually(lambda: len(many.pids) >= 2, "many callers make Serve add a replica")
            seen = Counter(many.pids)
            eventually(lambda: len(since(many, seen)) == 2, "two of them answer side by side")

        def one_is_left() -> bool:
            seen = Counter(few.pids)
            time.sleep(1.0)
            return len(since(few, seen)) == 1

        eventually(one_is_left, "without them Serve ends one of the two")
    assert many.failed == []
    assert few.failed == []
    assert few.ordinary + many.ordinary == 0
