"""What a build passes on of this machine: how packages are reached, in files that are never part of the image."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.image import build
from deploy.local.set_up import ROOT, pip_settings

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def test_pip_in_the_build_reads_the_settings_of_pip_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a real pip: where the index is, a trusted host, certificates; not where packages go."""
    certificates = tmp_path / "authorities.pem"
    certificates.write_text("")
    given = {
        "index-url": "https://user:pass@index.invalid/simple",
        "trusted-host": "a.invalid\nb.invalid",
        "cert": str(certificates),
        "target": "/elsewhere",
        "user": "true",
    }
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    with build.pip_secrets(given) as secrets:
        assert secrets["certificates"] == certificates
        monkeypatch.setenv("PIP_CONFIG_FILE", str(secrets["pip"]))
        read = pip_settings(str(Path(sys.base_prefix, "bin", "python3")))
    if not read:
        pytest.skip("this Python has no pip")
    assert read["index-url"] == given["index-url"]
    assert read["trusted-host"].split() == ["a.invalid", "b.invalid"]
    assert read["cert"] == "/run/secrets/certificates"
    assert "target" not in read
    assert "user" not in read
    assert not secrets["pip"].exists(), "a password stays in a file"


def test_the_dockerfile_takes_what_the_build_gives() -> None:
    with build.pip_secrets({"cert": "x"}) as secrets:
        for name in secrets:
            assert f"--mount=type=secret,id={name}" in DOCKERFILE
    for argument in ("BASE", "IMAGE", "CUDA", "TORCH_INDEX_URL"):
        assert f"\nARG {argument}=" in DOCKERFILE
    assert DOCKERFILE.index("type=secret") < DOCKERFILE.index("AS image"), "only the stage that builds sees a secret"
    assert DOCKERFILE.count("type=secret") == DOCKERFILE.count("--mount=type=secret,id=")


def test_help_teaches_without_root_or_buildah() -> None:
    command = [sys.executable, "-m", "deploy.image.build", "--help"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, check=True)
    assert "apt install buildah mmdebstrap" in done.stdout
    assert "serving" in done.stdout
