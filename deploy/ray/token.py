"""The secret that our Ray requires of every client: its file and its environment. Never checks a client.

Ray runs code that it is sent. On loopback every user of the machine can reach its ports, and so run code as the user
who started it. With `RAY_AUTH_MODE=token` each of its servers requires a secret first.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

SECRET_BYTES = 32


def token_environment(file: Path) -> Mapping[str, str]:
    """The environment for Ray's processes and their clients. Makes the file, for its owner alone, if it is missing."""
    with contextlib.suppress(FileExistsError):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w") as written:
            written.write(secrets.token_hex(SECRET_BYTES))
    # Ray prefers a token in the environment, perhaps another cluster's, to one in a file; "" is none
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file), "RAY_AUTH_TOKEN": ""}
