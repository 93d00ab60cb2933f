"""Builds an image with buildah, without Docker and without a registry. Never pushes it.

    python -m deploy.image.build serving
    python -m deploy.image.build torch --cuda                torch as the lock file has it, with CUDA
    TORCH_INDEX_URL=<PyTorch's CPU index> python -m deploy.image.build torch
    python -m deploy.image.build serving --base docker.io/library/python:3.11-slim-bookworm

It follows deploy/Dockerfile, as `docker build` does. The base is a Debian that mmdebstrap makes, unless --base names
another. Packages come from where pip and apt of this machine get them; nothing of these settings is in the image.
Needs root, and buildah and mmdebstrap (on Debian and Ubuntu: apt install buildah mmdebstrap). `buildah push` does the
rest: buildah push tidecast:0.1.0 registry.example.com/tidecast:0.1.0
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.image.buildah import Buildah
from deploy.image.debian_base import make_base
from deploy.local.set_up import ROOT, pip_settings
from deploy.terminal.console import complain, say

TAGS = {"serving": "tidecast", "torch": "tidecast-torch"}
SECRETS = "/run/secrets"
NOT_PASSED_ON = ("cert", "find-links", "quiet", "target", "user", "prefix", "require-virtualenv")


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was built. bytes: of all files in it, as they lie on a node's disk."""

    image: str
    bytes: int
    base_bytes: int
    base_s: float
    build_s: float

    def __str__(self) -> str:
        return (
            f"{self.image}: {self.bytes / 1e9:.2f} GB, of which the base {self.base_bytes / 1e6:.0f} MB; "
            f"built in {self.build_s:.0f} s, the base before in {self.base_s:.0f} s"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "image", choices=sorted(TAGS), help="serving: answers and reads the log; torch: encodes, trains"
    )
    parser.add_argument("--cuda", action="store_true", help="torch with CUDA")
    parser.add_argument("--base", default="", metavar="IMAGE", help="what it is built on (default: a new Debian)")
    parser.add_argument("--storage", type=Path, metavar="FOLDER", help="of images (default: buildah's own)")
    parser.add_argument("--json", action="store_true", help="size and times as JSON")
    args = parser.parse_args()
    if missing := why_not():
        complain(missing)
        return 2
    try:
        built = build(Buildah(args.storage), args.image, base=args.base, cuda=args.cuda)
    except subprocess.CalledProcessError as err:
        complain(f"`{' '.join(map(str, err.cmd[:2]))} ...` failed; what it says stands above")
        return err.returncode or 1
    say(json.dumps(asdict(built)) if args.json else str(built))
    return 0


def why_not() -> str:
    """Why no image can be built here; "" where one can."""
    if os.geteuid() != 0:
        return "images are built as root"
    absent = [name for name in ("buildah", "mmdebstrap") if shutil.which(name) is None]
    return (
        f"not installed: {', '.join(absent)} (on Debian and Ubuntu: apt install {' '.join(absent)})" if absent else ""
    )


def build(buildah: Buildah, image: str, *, base: str = "", cuda: bool = False) -> Built:
    """Builds an image, and its base where none is named. Raises CalledProcessError."""
    began_s = time.monotonic()
    base = base or make_base(buildah)
    based_s = time.monotonic()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    tag = f"localhost/{TAGS[image]}:{version}{'-cuda' if cuda else ''}"
    arguments = {
        "BASE": base,
        "IMAGE": image,
        "CUDA": str(int(cuda)),
        "TORCH_INDEX_URL": os.environ.get("TORCH_INDEX_URL", ""),
    }
    python = str(Path(sys.base_prefix, "bin", "python3"))  # an environment that uv made has no pip
    with pip_secrets(pip_settings(python)) as secrets:
        words = [f"--build-arg={name}={value}" for name, value in arguments.items() if value]
        words += [f"--secret=id={name},src={file}" for name, file in secrets.items()]
        how = ("--isolation=chroot", "--quiet", f"--file={ROOT / 'deploy' / 'Dockerfile'}", f"--tag={tag}")
        buildah.aloud("build", *how, *words, str(ROOT))
    took_s = time.monotonic() - based_s
    return Built(tag, size(buildah, tag), size(buildah, base), round(based_s - began_s, 1), round(took_s, 1))


def size(buildah: Buildah, image: str) -> int:
    """The bytes of all files in an image."""
    with mounted(buildah, image) as root:
        said = subprocess.run(["du", "-sxb", root], capture_output=True, text=True, check=True).stdout
    return int(said.split()[0])


@contextmanager
def mounted(buildah: Buildah, image: str) -> Iterator[Path]:
    """The files of an image, in a folder. Changes to them are lost."""
    container = buildah("from", "--pull-never", image)
    try:
        yield Path(buildah("mount", container))
    finally:
        buildah("rm", container)


@contextmanager
def pip_secrets(settings: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """Files with pip's settings of this machine, by the names that deploy/Dockerfile has for them."""
    with tempfile.TemporaryDirectory() as folder:
        passed = {name: value for name, value in settings.items() if name not in NOT_PASSED_ON}
        secrets = {"pip": Path(folder, "pip.conf")}
        if certificates := settings.get("cert"):
            passed["cert"] = f"{SECRETS}/certificates"
            secrets["certificates"] = Path(certificates)
        lines = (f"{name} = {' '.join(value.split())}\n" for name, value in passed.items())  # of some, several
        secrets["pip"].write_text(f"[global]\n{''.join(lines)}", encoding="utf-8")
        yield secrets


if __name__ == "__main__":
    sys.exit(main())
