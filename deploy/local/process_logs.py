"""The log files of a system's processes: where they are, and their last lines. Never writes or deletes one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ACTOR = re.compile(r"^:actor_name:(?:ServeReplica:\w+:)?(\S+)$")
WORKER = re.compile(r"^worker-[0-9a-f]+-[0-9a-f]+-(\d+)\.(?:err|out)$")
MARKERS = (":job_id:", ":actor_name:", ":task_name:")
OF_RAY = (
    *("gcs_server", "raylet", "dashboard", "runtime_env", "ray_", "ServeController", "HAProxyManager", "ProxyActor"),
    *("controller_", "proxy_", "worker", "monitor", "haproxy"),
)
READ_BYTES = 1_048_576  # read from the end of each file; a thousand long lines


@dataclass(frozen=True, slots=True)
class ProcessLog:
    """The log of one process. pid: "" where the file does not name it."""

    process: str
    pid: str
    path: Path

    @property
    def of_ray(self) -> bool:
        """Whether the process is Ray's own, not one of the application."""
        return self.process.startswith(OF_RAY)


def logs_in(folder: Path) -> list[ProcessLog]:
    """Every log in a folder of Ray's logs, the application's first. Processes have the names that `status` shows."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".log", ".err", ".out"} and path.is_file() and not path.name.startswith("python-core"):
            name, pid = _whose(path)
            found.append(ProcessLog(name, pid, path))
    return sorted(found, key=lambda log: (log.of_ray, log.process, log.pid, log.path))


def end_of(path: Path, lines: int) -> list[str]:
    """The last lines of a file, without Ray's markers."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - READ_BYTES))
        text = file.read().decode("utf-8", "replace")
    kept = [line for line in text.splitlines() if line.strip() and not line.startswith(MARKERS)]
    return kept[-lines:] if lines else []


def grown(paths: Sequence[Path], sizes: dict[Path, int]) -> Iterator[tuple[Path, str]]:
    """The whole lines that came since the last call. sizes: bytes of each file that were read; it is updated."""
    for path in paths:
        try:
            size = path.stat().st_size
            if size < sizes.get(path, 0):
                sizes[path] = 0  # the file was begun anew
            if size == sizes.get(path, 0):
                continue
            with path.open("rb") as file:
                file.seek(sizes.get(path, 0))
                whole, _, _ = file.read(READ_BYTES).rpartition(b"\n")
        except FileNotFoundError:
            continue
        sizes[path] = sizes.get(path, 0) + len(whole) + bool(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            if line.strip() and not line.startswith(MARKERS):
                yield path, line


def chosen(logs: Sequence[ProcessLog], names: Sequence[str], *, everything: bool) -> list[ProcessLog]:
    """The logs of processes with these names, "room-worker" for "room-worker 0" too; without names all but Ray's."""
    if names:
        return [log for log in logs if any(name in {log.process, log.pid} for name in names)]
    return [log for log in logs if everything or not log.of_ray]


def kept_logs(folders: Sequence[Path]) -> Mapping[str, Path]:
    """The logs that ended systems left, newest first: folders by time."""
    found = {path.name: path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_dir()}
    return dict(sorted(found.items(), reverse=True))


def _whose(path: Path) -> tuple[str, str]:
    """The process and pid of a file: a worker's log names them in its first lines, others do in the file name."""
    if (worker := WORKER.match(path.name)) is not None:
        with path.open(encoding="utf-8", errors="replace") as file:
            for _ in range(3):
                if (actor := ACTOR.match(file.readline().strip())) is not None:
                    return _called(actor[1]), worker[1]
        return "worker", worker[1]
    replica = re.match(r"^replica_\w+?_([A-Z]\w+?)_\w+$", path.stem)
    return (_called(replica[1]), "") if replica is not None else (path.stem.partition(".")[0], "")


def _called(name: str) -> str:
    """The name of a process: room-worker for RoomWorker; Ray's own keep their names."""
    return name if name.startswith(OF_RAY) else re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
