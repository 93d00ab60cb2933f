"""A container of a pod's template, run by crun as a kubelet has it run. Never builds an image.

Root, security, environment and mounts are those of the template. What a kubelet adds stands here: /proc, /dev, shared
memory, a volume's folder for each mount.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.hosts.network import Host

CRUN = ("crun", "--cgroup-manager=disabled")
SHARED_MEMORY = 1 << 30  # KubeRay mounts a volume in memory there, as large as what the pod asks for
NAMESPACES = ("pid", "ipc", "uts", "mount")  # that of the network is the one it is started in
# `ip netns exec` has a /sys without control groups, and crun looks for them even where it is to use none
IN_NAMESPACE = ("sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup && exec "$0" "$@"')
NAMES = ("/etc/hosts", "/etc/resolv.conf")
DEVICES: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro", "nosuid", "nodev", "noexec"]},
    # a pod's names: those of the namespace, in which crun is started
    *({"destination": file, "type": "bind", "source": file, "options": ["bind", "ro"]} for file in NAMES),
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "mode=0620"]},
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "nodev", "noexec", "mode=1777", f"size={SHARED_MEMORY}"],
    },
]


@dataclass(frozen=True)
class Pod:
    """A pod on a host. root: the files of its image. volumes: folder by mount path, for those that are not empty."""

    name: str
    template: Mapping[str, Any]
    root: Path
    image_environment: Sequence[str]
    host: Host
    folder: Path
    volumes: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """What its containers print."""
        return self.folder / "log"

    def volume(self, path: str) -> Path:
        """The folder that is mounted there; for an emptyDir a new one, which the pod's group may write to."""
        if path in self.volumes:
            return self.volumes[path]
        folder = self.folder / path.strip("/").replace("/", "-")
        if not folder.exists():
            folder.mkdir(parents=True)
            os.chown(folder, 0, self.template["spec"]["securityContext"]["fsGroup"])
            folder.chmod(0o2777)
        return folder

    def initialise(self) -> None:
        """Runs its init containers to their end."""
        for container in self.template["spec"]["initContainers"]:
            code = self._start(container, container["command"], container["name"]).wait(60)
            assert code == 0, f"{container['name']} ended with {code}: {self.log.read_text()}"

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts its container with that command."""
        return self._start(self.template["spec"]["containers"][0], command, self.name)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the running container, as a probe does, as its user."""
        pod = self.template["spec"]["securityContext"]
        user = f"--user={pod['runAsUser']}:{pod['runAsGroup']}"
        words = [
            *CRUN,
            "--root",
            str(self.folder / "crun"),
            "exec",
            user,
            "--no-new-privs",
            self._id(self.name),
            *command,
        ]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def _start(self, container: Mapping[str, Any], command: Sequence[str], name: str) -> subprocess.Popen[bytes]:
        bundle = self.folder / f"bundle-{name}"
        bundle.mkdir(parents=True, exist_ok=True)
        (bundle / "config.json").write_text(json.dumps(self._config(container, command)))
        crun = [*CRUN, "--root", str(self.folder / "crun")]
        subprocess.run([*crun, "delete", "--force", self._id(name)], capture_output=True, check=False)  # one that ended
        words = [*IN_NAMESPACE, *crun, "run", "--bundle", str(bundle), self._id(name)]
        return self.host.start(words, self.log, {})

    def _id(self, name: str) -> str:
        return f"tidecast-{os.getpid()}-{self.name}-{name}"

    def _config(self, container: Mapping[str, Any], command: Sequence[str]) -> dict[str, Any]:
        pod, ours = self.template["spec"]["securityContext"], container["securityContext"]
        assert ours["capabilities"] == {"drop": ["ALL"]}
        assert not ours["privileged"]
        open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        of_image = dict(variable.split("=", 1) for variable in self.image_environment)
        given = {**of_image, **{one["name"]: one["value"] for one in container.get("env", ())}, **self.environment}
        return {
            "ociVersion": "1.0.0",
            "root": {"path": str(self.root), "readonly": ours["readOnlyRootFilesystem"]},
            "hostname": self.name,
            "process": {
                "user": {"uid": pod["runAsUser"], "gid": pod["runAsGroup"], "additionalGids": [pod["fsGroup"]]},
                "args": list(command),
                "cwd": "/tmp",
                "env": [f"{name}={value}" for name, value in given.items()],
                "noNewPrivileges": not ours["allowPrivilegeEscalation"],
                "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
                "rlimits": [{"type": "RLIMIT_NOFILE", "soft": open_files, "hard": open_files}],
            },
            "mounts": [*DEVICES, *(self._mount(mount) for mount in container["volumeMounts"])],
            "linux": {
                "namespaces": [{"type": kind} for kind in NAMESPACES],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        }

    def _mount(self, mount: Mapping[str, Any]) -> dict[str, Any]:
        path = mount["mountPath"]
        how = ["rbind", "ro" if mount.get("readOnly") else "rw"]
        return {"destination": path, "type": "bind", "source": str(self.volume(path)), "options": how}


def why_not() -> str:
    """Why no container can be run here; "" where one can."""
    return "" if shutil.which(CRUN[0]) else "crun is not installed (apt install crun)"
