"""The posts of the processes of one host, in files of their own folder: there whether or not the head is. Never waits.

The board (status.py) has the posts of all hosts, and is out of reach while the cluster's head is away. Probes of one
host must not fail for that.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from pathlib import Path

import msgspec

from deploy.http.status import Readiness, SystemStatus

SUFFIX = ".post"
ANSWERS = "recommender"


class FolderStore:
    """A `PostStore` for the processes of a host: a file for each key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, value: bytes) -> None:
        """Replaces the value of a key; whoever reads meanwhile gets the old or the new one. Raises OSError."""
        written = self._folder / f"{key}.{os.getpid()}.new"
        written.write_bytes(value)
        written.replace(self._folder / f"{key}{SUFFIX}")

    def values(self) -> list[bytes]:
        """All values ever put; none is removed, so readers check their times."""
        return [file.read_bytes() for file in self._folder.glob(f"*{SUFFIX}")]


def readiness_of(host: SystemStatus) -> tuple[HTTPStatus, bytes]:
    """Whether a host's own replicas are to be asked, as a status and a body. host: the posts of its processes."""
    replicas = [post for post in host.processes if post.name == ANSWERS and _runs(post.pid)]
    ready = [post for post in replicas if post.detail.get("ready")]
    if ready:
        return HTTPStatus.OK, msgspec.json.encode(msgspec.convert(ready[0].detail, Readiness))
    reason = str(replicas[0].detail.get("reason")) if replicas else "no replica that answers is on this host"
    return HTTPStatus.SERVICE_UNAVAILABLE, msgspec.json.encode({"ready": False, "reason": reason})


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
