"""The Ray driver: a process that connects to Ray, to deploy or stop the application. Never stays.

`System` starts it as a program and does not become a driver itself: Ray takes over a process that connects (200 MB,
threads, signal handlers), and reads its settings from the environment at its import. The driver imports Ray and reads
one pickled `Order` from its standard input and, to deploy, a line once the topics are there: the imports and the start
of Serve take seconds, in which Kafka and Ray start too. It answers with a line once the order is carried out, or with
its exit code and log lines on standard error.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deploy.config.secrets import without_secrets
from deploy.config.settings import Settings
from deploy.config.shared_places import require_shared, same_vectors
from deploy.terminal.console import say
from streaming.errors import TidecastError

PROGRESS = "progress: "  # begins a line for `Launcher`
PROGRESS_S = 2.0
DONE = "done"  # the line that says that the order is carried out, whatever Ray's threads do when the process ends


@dataclass(frozen=True, slots=True)
class Order:
    """An order to the driver: what to do, and where."""

    action: Literal["deploy", "stop"]
    settings: Settings
    address: str
    metrics_folder: str
    local: bool


def main() -> int:
    """Carries out the order on standard input. Raises what Ray raises; the traceback is for the log."""
    import ray  # noqa: PLC0415  the parent needs only the Order
    from ray import serve  # noqa: PLC0415

    from deploy.serve.app import APPLICATION, Placement, cluster_environment, deploy, start_serve  # noqa: PLC0415

    try:
        order: Order = pickle.load(sys.stdin.buffer)  # from our parent process
    except EOFError:
        return 1  # the parent has ended

    ray.init(
        order.address,
        namespace="serve",
        log_to_driver=False,
        runtime_env=dict(cluster_environment(order.settings)),
        logging_level="ERROR",
    )
    if order.action == "deploy":
        hosts = len({node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]})
        try:
            require_shared(order.settings, hosts)
        except TidecastError as err:
            say(str(err), file=sys.stderr)
            return 1
        start_serve(order.settings)
        if not sys.stdin.buffer.readline():
            return 1
        # another's cluster may grow: it has no GPU before something asks for one
        gpus = ray.cluster_resources().get("GPU", 0.0) if order.local else order.settings.ray.encoder_gpus
        # what is pickled for a replica can be read by whoever reaches Ray: each host reads its own secrets
        settings = order.settings if order.local else same_vectors(without_secrets(order.settings), hosts)
        with _progress():
            deploy(settings, Placement(order.metrics_folder, gpus, order.local))
    else:
        with contextlib.suppress(Exception):  # it may not have got that far
            serve.delete(APPLICATION, _blocking=True)
        if order.local:
            serve.shutdown()
    say(DONE, flush=True)
    ray.shutdown()
    return 0


@contextlib.contextmanager
def _progress() -> Iterator[None]:
    """Says the progress inside, in a thread that has ended when it is left: none may call Ray while Ray ends."""
    over = threading.Event()
    thread = threading.Thread(target=_say_progress, args=(over,), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _say_progress(over: threading.Event) -> None:
    """Prints how many replicas run, each time that this changes: `Launcher` waits on while it does."""
    from ray import serve  # noqa: PLC0415

    from deploy.serve.app import APPLICATION  # noqa: PLC0415

    said = ""
    while not over.wait(PROGRESS_S):
        with contextlib.suppress(Exception):  # Serve starts, or is busy
            application = serve.status().applications.get(APPLICATION)
            found = progress_line({} if application is None else application.deployments)
            if found != said:
                say(f"{PROGRESS}{found}", flush=True)
                said = found


def progress_line(deployments: Mapping[str, Any]) -> str:
    """Which replicas run, of Serve's status of each deployment."""
    parts = []
    for name, deployment in sorted(deployments.items()):
        states = {str(getattr(state, "value", state)): count for state, count in deployment.replica_states.items()}
        parts.append(f"{states.get('RUNNING', 0)} of {sum(states.values())} × {name}")
    return ", ".join(parts)


if __name__ == "__main__":
    # as a module with its own name: classes deployed from __main__ would be pickled by value
    from deploy.local.ray_driver import main as launch

    sys.exit(launch())
