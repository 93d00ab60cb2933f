"""Owns the secret that a Ray of ours asks everybody for: its file and its environment. Never checks anybody.

Ray runs what it is sent: whoever reaches its ports, which on loopback is every user of the machine, runs code as the
user who started it. With `RAY_AUTH_MODE=token` each of its servers asks for a secret first.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

SECRET_BYTES = 32


def token_environment(file: Path) -> Mapping[str, str]:
    """What Ray's processes and whoever connects to them need. Makes the file, for its owner alone, where it is not."""
    with contextlib.suppress(FileExistsError):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w") as written:
            written.write(secrets.token_hex(SECRET_BYTES))
    # Ray takes a token in the environment, that of another cluster perhaps, before one in a file; "" is none.
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file), "RAY_AUTH_TOKEN": ""}
