"""Makes the modules of tidecast_client that follow from the OpenAPI document. No test is here.

python -m tests.client_modules       writes them (`make client`)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import tidecast_client
from deploy.docs.client_code import modules
from deploy.ray.haproxy import READING
from tests.unit.deploy.http.called_api import Caller

FOLDER = Path(tidecast_client.__file__).parent
RUFF = Path(sys.executable).with_name("ruff")


class NoErasures:
    """Has the route described, and is never called."""

    def erase(self, viewer: str) -> int:
        raise AssertionError(viewer)


def document() -> dict[str, Any]:
    """The OpenAPI document with every route there is, those too that `Caller` has only if it is asked to."""
    found: dict[str, Any] = Caller(erasures=NoErasures())("GET", "/openapi.json").json
    return found


def made() -> dict[str, str]:
    """The modules by file name, as ruff formats them."""
    return {name: formatted(name, text) for name, text in modules(document(), READING).items()}


def formatted(name: str, text: str) -> str:
    """A module without imports that it does not need, formatted."""
    where = ["--stdin-filename", str(FOLDER / name), "-"]
    lean = _ruff(["check", "--fix-only", "--select", "F401,I,RUF022", "--quiet", *where], text)
    return _ruff(["format", "--quiet", *where], lean)


def _ruff(arguments: list[str], text: str) -> str:
    return subprocess.run([RUFF, *arguments], input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    for file, text in made().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
