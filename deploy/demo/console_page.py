"""The console beside the demo: web pages about it, in a process of their own. Never fails the demo.

It starts first, so that one can watch the system come up, and gives way to everything else on the machine.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from deploy.config.settings import Settings
from deploy.demo.child import Child
from streaming.machine.ports import free_port

PR_SET_PDEATHSIG = 1
EVERYWHERE = ("0.0.0.0", "::", "")
NICENESS = 5  # behind the Encoder, before nobody


class ConsolePage:
    """A `tidecast console` that ends with this process, however that ends. For the main thread, before others run."""

    def __init__(
        self, arguments: Sequence[str], settings: Settings, log_file: Path, control: socket.socket | None = None
    ) -> None:
        """Starts it about the system of the settings, on console.port, or where that is taken on a free one.

        control: its end of a `DemoControl`, with which it may have processes killed; None: it may not.
        """
        console = settings.console
        port = console.port if console.port and _free(console.host, console.port) else free_port(console.host)
        host = "127.0.0.1" if console.host in EVERYWHERE else console.host
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        http = settings.http
        asked = {"CONSOLE__PORT": str(port), "CONSOLE__URL": http.url, "CONSOLE__ADMIN_URL": http.admin_url}
        set_signal = ctypes.CDLL(None).prctl

        def prepare() -> None:
            set_signal(PR_SET_PDEATHSIG, signal.SIGTERM)
            os.nice(NICENESS)

        overrides = {f"TIDECAST_{name}": value for name, value in asked.items()}
        inherited = () if control is None else (control.fileno(),)
        options = [] if control is None else ["--control-fd", str(control.fileno())]
        self._child = Child([*arguments, *options], overrides, log_file, prepare, inherited)

    def stop(self) -> None:
        """Ends it as Ctrl-C would."""
        self._child.stop()


def _free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
