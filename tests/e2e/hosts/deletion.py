"""The end of an installation as Kubernetes brings it about: all of its pods at once. Never measures.

Each pod of replicas runs the hook of deploy/k8s/pods.py; then Ray gets SIGTERM, and after the grace period SIGKILL.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from deploy.k8s.installation import METRICS_FOLDER
from deploy.k8s.pods import GRACE_S, LEAVE
from tests.e2e.hosts.cluster import Cluster
from tests.e2e.hosts.network import Host, command_line

PROCESSES = "/proc/[0-9]*"  # of a pod, which has its own; hosts of this suite share theirs
LOG_OF_POD = "/proc/1/fd/1"


def delete(gone: Cluster) -> None:
    """Deletes all hosts of a cluster at once, and waits until nothing of them is left."""
    threads = [threading.Thread(target=_delete, args=(gone, name)) for name in gone.hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _delete(gone: Cluster, name: str) -> None:
    host, until_s = gone.host(name), time.monotonic() + GRACE_S
    log = gone.folder / f"{name}-hook.txt"
    gone.unsupervise(name)
    if name != gone.head:
        metrics = next((gone.folder / name).glob("tmp/tidecast-*"))
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**gone.environment(name), "RAY_ADDRESS": gone.address, "PATH": path}
        host.start(["/bin/bash", "-c", hook(host, metrics)], log, environment).wait(GRACE_S)
    gone.terminate(name)
    while host.pids() and time.monotonic() < until_s:
        time.sleep(0.2)
    with log.open("a") as said:
        left = [command_line(pid) for pid in host.pids()]
        said.write(f"{time.monotonic() - until_s + GRACE_S:.1f} s; left for SIGKILL: {left}\n")
    host.kill()


def hook(host: Host, metrics: Path) -> str:
    """The hook, where it finds the processes of one host. metrics: the folder of its metrics."""
    pids = ",".join(map(str, host.pids()))
    here = {PROCESSES: f"/proc/{{0,{pids}}}", LOG_OF_POD: "/dev/stderr", METRICS_FOLDER: str(metrics)}
    text = LEAVE
    for there, place in here.items():
        assert there in text
        text = text.replace(there, place)
    return text
