"""Hosts of a cluster on one machine: network namespaces on a bridge, and the faults of a network. Never starts Ray.

Needs root and iproute2. Names hold the pid of this process, so that runs side by side do not meet, and a run finds what
a killed one has left behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from streaming.machine.process_words import command_of

END_S = 10.0  # for killed processes to be gone; one that waits for a disk goes later
FILES = Path("/etc/netns")
OURS = re.compile(r"^tidecast-(\d+)-\S+", re.MULTILINE)


class Host:
    """One namespace with an address, and the processes in it."""

    def __init__(self, name: str, namespace: str, address: str, port: str) -> None:
        """port: the bridge's end of its cable."""
        self.name = name
        self.address = address
        self._namespace = namespace
        self._port = port
        self._started: list[subprocess.Popen[bytes]] = []

    def start(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a process in the namespace, in a session of its own."""
        with log.open("ab") as written:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self._namespace, *command],
                env={**os.environ, **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def pids(self) -> list[int]:
        """Every process in the namespace."""
        return [int(pid) for pid in _ip("netns", "pids", self._namespace).split()]

    def named(self, pattern: str) -> list[int]:
        """Its processes whose command line has the pattern."""
        return [pid for pid in self.pids() if re.search(pattern, command_line(pid))]

    def kill(self) -> None:
        """kill -9 of everything in the namespace, until nothing is left."""
        deadline = time.monotonic() + END_S
        while pids := {*self.pids(), *(process.pid for process in self._started if process.poll() is None)}:
            assert time.monotonic() < deadline, f"processes of {self.name} do not end: {pids}"
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        for process in self._started:
            process.wait(END_S)
        self._started.clear()

    def unplug(self) -> None:
        """Pulls the cable: nothing goes in or out, not even the end of a connection."""
        _ip("link", "set", self._port, "down")

    def plug(self) -> None:
        """Puts the cable back."""
        _ip("link", "set", self._port, "up")

    def lose_sight_of(self, other: Host) -> None:
        """Drops everything between two hosts, in both directions, without a word to either. For one pair at a time."""
        for one in (self, other):  # the bridge lets nothing through from an isolated port to another
            _ip("link", "set", one._port, "type", "bridge_slave", "isolated", "on")

    def see_again(self, other: Host) -> None:
        """Ends `lose_sight_of`."""
        for one in (self, other):
            _ip("link", "set", one._port, "type", "bridge_slave", "isolated", "off")


class Network:
    """A bridge with hosts on it, for one thread. A context manager: hosts, processes and bridge go on exit."""

    def __init__(self) -> None:
        pid = os.getpid()
        self._subnet = f"10.{100 + pid // 250 % 100}.{pid % 250}"
        self._bridge = f"tcb{pid}"
        self.hosts: dict[str, Host] = {}

    @property
    def address(self) -> str:
        """Our own address on the bridge."""
        return f"{self._subnet}.1"

    def __enter__(self) -> Network:
        sweep()
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("addr", "add", f"{self.address}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self.hosts.values():
            host.kill()
        _remove(os.getpid())

    def add(self, name: str) -> Host:
        """A new host."""
        pid, number = os.getpid(), len(self.hosts) + 2
        namespace, port = f"tidecast-{pid}-{name}", f"tc{pid}p{number}"
        address = f"{self._subnet}.{number}"
        files = FILES / namespace  # `ip netns exec` puts them in the place of those of the machine
        files.mkdir(parents=True)
        (files / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # refused at once: there is no name server
        (files / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n")
        _ip("netns", "add", namespace)
        host = self.hosts[name] = Host(name, namespace, address, port)
        _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", port, "master", self._bridge)
        _ip("link", "set", port, "up")
        _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", namespace, "link", "set", device, "up")
        _ip("-n", namespace, "route", "add", "default", "via", self.address)  # some look for a route to the internet
        return host


def why_not() -> str:
    """Why no network can be made here; "" where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    try:
        with Network() as network:
            network.add("probe")
    except subprocess.CalledProcessError as err:
        return f"no network namespace can be made here: {err.stderr.strip()}"
    return ""


def sweep() -> None:
    """Removes what a killed run has left: names hold the pid of a process that is no longer there."""
    for pid in {int(found) for found in OURS.findall(_ip("netns", "list"))}:
        if not Path(f"/proc/{pid}").exists():
            _remove(pid)


def command_line(pid: int) -> str:
    """A process's command line, "" where it is gone."""
    try:
        return command_of(pid).replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _remove(pid: int) -> None:
    for match in OURS.finditer(_ip("netns", "list")):
        if int(match[1]) == pid:
            namespace = match[0]
            Host(namespace, namespace, "", "").kill()
            _ip("netns", "del", namespace)
            shutil.rmtree(FILES / namespace, ignore_errors=True)
    # those of a namespace go some time after it: a network that this process makes meanwhile would find them
    for port in re.findall(rf"\btc{pid}p\d+\b", _ip("-o", "link", "show")):
        with contextlib.suppress(subprocess.CalledProcessError):  # it has just gone
            _ip("link", "del", port)
    with contextlib.suppress(subprocess.CalledProcessError):  # it was not made yet
        _ip("link", "del", f"tcb{pid}")


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)
    return done.stdout
