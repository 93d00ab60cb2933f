"""A cluster for a test: hosts with Kafka and Redis, a Ray head, workers, the application. Never disturbs it unasked.

A second one beside it, on the same Kafka, is what an upgrade makes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from deploy.config.settings import Settings
from deploy.config.toml_text import as_toml
from deploy.http.client import Client
from deploy.http.keys import Entry, digest_of, new_key, write_entries
from deploy.http.status import Post
from deploy.k8s.pods import DRAIN_AT_SIGTERM
from deploy.ray.cluster_host import ClusterHost
from streaming.broker import KafkaLog
from streaming.errors import TidecastError
from tests.e2e.hosts.network import Host, Network, command_line
from tests.e2e.hosts.supervisor import Supervisor
from tests.e2e.hosts.whole_input import keep_whole
from tests.e2e.running import await_true, is_alive

ROOT = Path(__file__).resolve().parents[3]
PORTS = {"redis": 6379, "kafka": 9092, "gcs": 6379, "http": 8000, "admin": 8001}
WORKERS = ("worker1", "worker2")
HOSTS = ("head", *WORKERS)
START_S = 240.0  # for the application, on two busy cores
DRAIN_S = 60.0
RESTART_S = 1.0  # what a supervisor lets pass before it starts Ray again; systemd's default is a tenth of it
HEAD_RESTART_S = 5.0  # long enough that the others notice
OBJECT_STORE = 100 << 20


class Cluster:
    """The cluster. For one thread. A context manager: everything that was started is gone on exit."""

    def __init__(self, hosts: Sequence[str] = HOSTS, *, head_cpus: int = 4, beside: Cluster | None = None) -> None:
        """hosts: their names, the head first. head_cpus: 0 for a head without replicas, as on Kubernetes.

        beside: a cluster that runs, whose network, Kafka and Redis this one uses.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="th", dir="/tmp"))  # short: Ray's sockets lie below it
        self.hosts = tuple(hosts)
        self.head, *self.workers = hosts
        self.serving = self.hosts if head_cpus else tuple(self.workers)  # have a replica each
        self._head_cpus = head_cpus
        self._beside = beside
        self.network: Network = Network() if beside is None else beside.network
        self._supervisors: dict[str, Supervisor] = {}
        self.settings = Settings()

    def __enter__(self) -> Cluster:
        if self._beside is None:
            self.network.__enter__()
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.keep_logs()
        for name in [*self._supervisors]:
            self.unsupervise(name)
        if self._beside is None:
            self.network.__exit__(kind, error, trace)
        else:
            for name in {*self.hosts} & self.network.hosts.keys():
                self.host(name).kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def host(self, name: str) -> Host:
        """A host by its name: store, head, worker1, worker2."""
        return self.network.hosts[name]

    @property
    def log(self) -> KafkaLog:
        """The log, for a test."""
        return KafkaLog(self.settings.kafka)

    def client(self, name: str) -> Client:
        """A client that asks one host. For one thread."""
        address = self.host(name).address
        token, admin_url = self.settings.http.token, f"http://{address}:{PORTS['admin']}"
        return Client(f"http://{address}:{PORTS['http']}", admin_url=admin_url, token=token)

    def posts(self, name: str) -> list[Post]:
        """What every process says of itself, as one host has it; of those only that live. Raises NotUp."""
        with contextlib.closing(self.client(name)) as client:
            return [post for post in client.status().processes if is_alive(post.pid)]

    def find(self, name: str, rank: int | None = None) -> Post:
        """A living process of the application by name, and by rank where one is given."""
        found: list[Post] = []

        def there() -> bool:
            for host in self.hosts:
                with contextlib.suppress(TidecastError):
                    found.extend(post for post in self.posts(host) if post.name == name and rank in (None, post.rank))
                    break
            return bool(found)

        await_true(f"a {name}", there)
        return found[0]

    def host_of(self, post: Post) -> Host:
        """The host on which a process runs."""
        return next(host for host in self.network.hosts.values() if host.address == post.node)

    def start_kafka(self) -> None:
        """Starts the broker, or starts it again."""
        store = self.host("store")
        environment = {
            "TIDECAST_LOCAL_KAFKA__HOST": store.address,
            "TIDECAST_LOCAL_KAFKA__FOLDER": str(self.folder / "kafka"),
        }
        self._run(store, ["kafka", "start"], environment)

    def kill_kafka(self) -> None:
        """kill -9 of the broker."""
        (pid,) = self.host("store").named(r"kafka\.Kafka")
        os.kill(pid, signal.SIGKILL)
        await_true("the end of the broker", lambda: not is_alive(pid))

    def start_ray(self, name: str) -> None:
        """Starts Ray on a host, the head or a worker that joins, and from then on whenever it ends."""
        restart_s = HEAD_RESTART_S if name == self.head else RESTART_S
        supervisor = Supervisor(name, self.host(name), lambda: self._ray(name), restart_s)
        self._supervisors[name] = supervisor
        supervisor.start()

    def unsupervise(self, name: str) -> None:
        """Ends a host's supervisor; its processes live on, until they end by themselves."""
        if (supervisor := self._supervisors.pop(name, None)) is not None:
            supervisor.halt()

    def kill_host(self, name: str) -> None:
        """kill -9 of every process of a host, its supervisor's too: it stays away until `start_ray`."""
        self.unsupervise(name)
        self.host(name).kill()

    def _ray(self, name: str) -> subprocess.Popen[bytes]:
        host = self.host(name)
        of_head = [f"--port={PORTS['gcs']}", "--head", "--include-dashboard=false", "--no-monitor"]
        of_worker = [f"--address={self.address}"]
        cpus = self._head_cpus if name == self.head else 4
        command = [
            # without dashboard and agents, which take a tenth of a core each
            *(sys.executable, "-m", "deploy.ray.head", "start", "--block", "--disable-usage-stats"),
            *(of_head if name == self.head else of_worker),
            *(f"--node-ip-address={host.address}", f"--num-cpus={cpus}", f"--object-store-memory={OBJECT_STORE}"),
            *(f"--temp-dir={self.folder / name / 'r'}", "--include-log-monitor=false"),
            "--runtime-env-agent-port=6390",  # else a raylet gives up where its agent starts slowly
            f'--resources={{"{name}": 1}}',
        ]
        # Ray looks for another on this host, and here it sees the processes of all hosts
        (self.folder / name / "r" / "ray_current_cluster").unlink(missing_ok=True)
        return host.start(command, self.folder / f"{name}.log", self.environment(name))

    def environment(self, name: str) -> Mapping[str, str]:
        """What `tidecast cluster-env` prints on that host."""
        store = f"{self.host('store').address}:{PORTS['redis']}"
        of_head = (store, self.head) if name == self.head else ()
        host = ClusterHost(self.folder / name, *of_head)
        as_pod = {DRAIN_AT_SIGTERM: "0"} if name in self.workers and not self._head_cpus else {}
        # a head asks for a token where it finds one of its user, and the others then have none
        return {**host.environment(self.settings.http.limits), **as_pod, "RAY_AUTH_MODE": "disabled"}

    @property
    def address(self) -> str:
        """The head's address."""
        return f"{self.host(self.head).address}:{PORTS['gcs']}"

    def up(self) -> None:
        """`tidecast up` on the head."""
        self._run(self.host(self.head), ["-v", "up", "--address", self.address], self.environment(self.head))

    def drain(self, name: str) -> None:
        """Tells Ray that a host goes, and takes it away once nothing of the application is on it, or after DRAIN_S."""
        host = self.host(name)
        self.unsupervise(name)  # nobody wants it back
        (raylet,) = host.named(r"raylet/raylet ")
        node = next(word.partition("=")[2] for word in command_line(raylet).split() if word.startswith("--node_id="))
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "drain-node", f"--address={self.address}"),
            *(f"--node-id={node}", "--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=the host goes"),
            f"--deadline-remaining-seconds={DRAIN_S:.0f}",
        ]
        told = self.host(self.head).start(command, self.folder / "drain.txt", self.environment(self.head))
        self._wait(told, "drain.txt")
        deadline_s = time.monotonic() + DRAIN_S
        while host.named("ray::ServeReplica") and time.monotonic() < deadline_s:
            time.sleep(0.5)
        host.kill()

    def terminate(self, name: str) -> None:
        """SIGTERM to the `ray start` of a host, as its container gets it."""
        for pid in self.host(name).named(r"deploy\.ray\.head start"):
            os.kill(pid, signal.SIGTERM)

    def keep_logs(self) -> None:
        """Keeps what was logged, where HOSTS_LOGS names a folder: for who looks for a failure's cause."""
        if kept := os.environ.get("HOSTS_LOGS"):
            Path(kept).mkdir(parents=True, exist_ok=True)
            for logs in [
                *self.folder.glob("*.log"),
                *self.folder.glob("*.txt"),
                *self.folder.glob("*/r/session_2*/logs"),
            ]:
                where = Path(kept, logs.relative_to(self.folder).parts[0])
                with contextlib.suppress(shutil.Error, OSError):
                    if logs.is_dir():
                        shutil.copytree(logs, where, symlinks=True, dirs_exist_ok=True)
                    else:
                        shutil.copy(logs, Path(kept, logs.name))

    def _start(self) -> None:
        store = self.network.add("store") if self._beside is None else self.host("store")
        for name in self.hosts:
            if name not in self.network.hosts:  # one of a cluster that has ended
                self.network.add(name)
            (self.folder / name).mkdir()
        self.settings = (
            _settings(f"{store.address}:{PORTS['kafka']}", self.folder, len(self.serving))
            if self._beside is None
            else self._beside.settings
        )
        (self.folder / "tidecast.toml").write_text(as_toml(self.settings, but=Settings()))
        if self._beside is None:
            redis = ["redis-server", "--bind", store.address, "--port", str(PORTS["redis"]), "--protected-mode", "no"]
            store.start([*redis, "--appendonly", "no", "--save", ""], self.folder / "redis.log", {}, self.folder)
        self.start_ray(self.head)
        if self._beside is None:
            self.start_kafka()
        await_true("the head", lambda: self._started(self.head))
        for name in self.workers:
            self.start_ray(name)
        for name in self.workers:
            await_true(name, lambda name=name: self._started(name))
        self.up()
        if self._beside is None:
            keep_whole(self.settings)

    def _started(self, name: str) -> bool:
        log = self.folder / f"{name}.log"
        return log.exists() and "Ray runtime started" in log.read_text(errors="replace")

    def _run(self, host: Host, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        file = self.folder / "tidecast.toml"
        command = [sys.executable, "-m", "deploy.cli", *(["--config", str(file)] if file.exists() else []), *arguments]
        places = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
        log = f"{arguments[-1] if arguments[0] == 'kafka' else 'up'}.txt"
        given = {**environment, "PYTHONPATH": places}
        self._wait(host.start(command, self.folder / log, given, self.folder), log)

    def _wait(self, process: subprocess.Popen[bytes], log: str) -> None:
        code = process.wait(START_S)
        said = (self.folder / log).read_text(errors="replace")[-3_000:]
        assert code == 0, f"{process.args} ended with {code}: {said}"


def why_not() -> str:
    """Why no such cluster can be started here; "" where it can."""
    return "" if shutil.which("redis-server") else "redis-server is not installed (apt install redis-server)"


def _settings(servers: str, folder: Path, hosts: int) -> Settings:
    """hosts: that have a replica. Others than this machine reach them, so that callers need a key."""
    base, key = Settings(), new_key()
    write_entries(folder / "keys.toml", {"hosts": Entry(sha256=digest_of(key).hex(), scopes=("recommend",))})
    return dataclasses.replace(
        base,
        kafka=dataclasses.replace(
            base.kafka, bootstrap_servers=servers, session_timeout_s=6.0, transaction_timeout_s=10.0
        ),
        topics=dataclasses.replace(base.topics, room_partitions=4, viewer_partitions=4),
        # the precision that `tidecast up` chooses for several hosts, so that the undisturbed pass has the same vectors
        encoder=dataclasses.replace(base.encoder, max_tokens=32, precision="fp32"),
        room_worker=dataclasses.replace(
            base.room_worker, in_flight=dataclasses.replace(base.room_worker.in_flight, timeout_s=8.0)
        ),
        registry=dataclasses.replace(base.registry, uri=f"file://{folder}/models"),
        http=dataclasses.replace(
            base.http,
            host="0.0.0.0",
            admin_host="0.0.0.0",
            replicas=hosts,
            keys_file=str(folder / "keys.toml"),
            token=key,
        ),
        ray=dataclasses.replace(
            base.ray,
            room_workers=2,
            profile_workers=2,
            encoders=min(2, hosts),
            replicas_per_host=1,
            encoders_per_host=1,
            workers_per_host=1 if hosts > 1 else 0,
            health_check_timeout_s=4.0,
            send_code=False,
        ),
    )
