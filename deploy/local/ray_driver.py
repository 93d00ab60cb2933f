"""The Ray driver: a process that connects to Ray, to deploy or stop the application. Never stays.

`System` starts it as a program and does not become a driver itself: Ray takes over a process that connects (200 MB,
threads, signal handlers), and reads its settings from the environment at its import. The driver imports Ray and reads
one pickled `Order` from its standard input and, to deploy, a line once the topics are there: the imports and the start
of Serve take seconds, in which Kafka and Ray start too. It answers with its exit code, and log lines on standard error.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from dataclasses import dataclass
from typing import Literal

from deploy.config.settings import Settings


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
        start_serve(order.settings)
        if not sys.stdin.buffer.readline():
            return 1
        gpus = ray.cluster_resources().get("GPU", 0.0)
        deploy(order.settings, Placement(order.metrics_folder, gpus, order.local))
    else:
        with contextlib.suppress(Exception):  # it may not have got that far
            serve.delete(APPLICATION, _blocking=True)
        if order.local:
            serve.shutdown()
    return 0


if __name__ == "__main__":
    # as a module with its own name: classes deployed from __main__ would be pickled by value
    from deploy.local.ray_driver import main as launch

    sys.exit(launch())
