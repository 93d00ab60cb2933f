"""A slim Debian with Python as an image's base, where no registry can be reached. Never builds what goes on it.

mmdebstrap makes it from Debian's packages, with apt's settings of this machine (a proxy, for example). None of them
stays in it.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from deploy.image.buildah import Buildah

NAME = "localhost/tidecast-base"
SUITE = "bookworm"  # whose Python is 3.11, as that of the base that the Dockerfile names
PACKAGES = ("ca-certificates", "python-is-python3", "python3", "python3-venv", "wget")
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNREAD = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
LICENCES = "/usr/share/doc/*/copyright"


def make_base(buildah: Buildah) -> str:
    """Makes the base and returns its name. Raises CalledProcessError."""
    container = buildah("from", "scratch")
    try:
        root = buildah("mount", container)
        with tempfile.TemporaryDirectory() as folder:
            settings = Path(folder, "apt.conf")
            settings.write_text(_settings_of_apt())
            subprocess.run(_command(root, settings), check=True)
        buildah("config", "--env", f"PATH={SEARCH_PATH}", "--cmd", "python3", container)
        buildah("commit", "--quiet", container, NAME)
    finally:
        buildah("rm", container)
    return NAME


def _command(root: str, settings: Path) -> list[str]:
    left_out = [f"--dpkgopt=path-exclude={pattern}" for pattern in UNREAD]
    # where this machine gets packages, its name and its name servers are nobody's business
    of_here = "apt/apt.conf.d/99mmdebstrap apt/sources.list apt/sources.list.d/* hostname resolv.conf"
    forget = f'cd "$1"/etc && rm -f {of_here}'
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        "--skip=output/dev",  # a container has its own
        f"--include={','.join(PACKAGES)}",
        f"--aptopt={settings}",
        *left_out,
        f"--dpkgopt=path-include={LICENCES}",
        f"--customize-hook={forget}",
        '--customize-hook=rm -rf "$1"/var/cache/* "$1"/var/log/*',
        SUITE,
        root,
    ]


def _settings_of_apt() -> str:
    """How this machine's apt fetches: proxies, patience, clocks."""
    said = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return "".join(
        f"{line}\n" for line in said.splitlines() if line.startswith("Acquire::") and not line.endswith('"";')
    )
