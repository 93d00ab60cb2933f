"""buildah, as a function of its words. Never knows what is built."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah with its images in one folder; None: where it keeps them by default."""

    storage: Path | None = None

    def __call__(self, *words: str) -> str:
        """Runs it and returns what it printed. Its errors go to stderr. Raises CalledProcessError."""
        return subprocess.run(self.command(*words), stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def aloud(self, *words: str) -> None:
        """Runs it, with what it prints on stderr. Raises CalledProcessError."""
        subprocess.run(self.command(*words), stdout=sys.stderr, check=True)

    def command(self, *words: str) -> list[str]:
        """The whole command."""
        folders = ["--root", str(self.storage / "root"), "--runroot", str(self.storage / "run")] if self.storage else []
        return ["buildah", *folders, *words]
