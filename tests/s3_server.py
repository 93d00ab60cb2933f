"""A server that speaks S3, in a process of its own, with one bucket. Never keeps anything."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from types import TracebackType
from typing import Self
from urllib.parse import quote

BUCKET = "bucket"
SECRET = "wJalrXUtnFEMI"
PATIENCE_S = 60.0


class S3Server:
    """moto's server on a free port of the loopback, as a context manager."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"

    def uri(self, folder: str) -> str:
        """A place in the bucket, with credentials in the URI."""
        options = f"endpoint_override={quote(self.address, safe='')}&scheme=http&region=us-east-1"
        return f"s3://AKIA:{SECRET}@{BUCKET}/{folder}?{options}"

    def stop(self) -> None:
        """Ends it; from then on nobody answers."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        port = self.address.rpartition(":")[2]
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self._process.poll() is None, "moto's server has ended; is moto installed?"
            assert time.monotonic() < deadline, "moto's server does not answer"
            make = urllib.request.Request(f"http://{self.address}/{BUCKET}", method="PUT")
            try:
                urllib.request.urlopen(make, timeout=5).close()
            except OSError:
                time.sleep(0.05)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
