"""The command `tidecast k8s`: prints or writes the manifests of an installation. Never talks to a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from deploy.terminal.console import say

Action = Literal["render", "write", "secrets", "chart"]

EPILOG = """\
An installation on Kubernetes is made of settings: an overlay's, over it those of --config FILE (the file that the
laptop uses, if you like), over it each --set. The section [kubernetes] has names, images and sizes.

overlays:
  dev              one node, small; Kafka by Strimzi, archive and models on a volume
  prod             three zones; Kafka by Strimzi, archive and models in an object store
  prod-gpu         the same, with a GPU for each Encoder and for training
  existing-kafka   the same as prod, on a Kafka that is there already

actions:
  render    prints all manifests as one YAML text, in the order in which to apply them
  write     writes them to the folder of --to, for `kubectl apply -k`, which then needs no tidecast.
            Without --to it brings this project's own deploy/k8s/base and overlays up to date
  chart     writes a Helm chart of all overlays to the folder of --to
  secrets   the Secrets that you make yourself, and what belongs in each

The cluster needs the operators of KubeRay 1.7, of Strimzi 1.2 (but for existing-kafka) and of Prometheus (else
--set kubernetes.monitoring=false).

examples:
  tidecast k8s render --overlay dev | kubectl apply --server-side -f -
  tidecast k8s render --overlay prod --set kubernetes.image=registry.example.com/tidecast:0.1.0
  tidecast --config live.toml k8s write --overlay prod --to installations/live
  tidecast k8s chart --to chart; helm install tidecast chart --namespace tidecast --set overlay=dev
  tidecast k8s secrets --overlay existing-kafka
"""


def run(
    context: typer.Context,
    action: Annotated[Action, typer.Argument(help="what to do")],
    *,
    overlay: Annotated[str, typer.Option(metavar="NAME", help="where to start from; see below")] = "dev",
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="a setting; may be given again")
    ] = None,
    to: Annotated[Path | None, typer.Option(metavar="FOLDER", help="write, chart: where to")] = None,
) -> int:
    """Makes Kubernetes manifests of the settings: Ray Serve, Kafka, training, monitoring, network policies."""
    from deploy.k8s.manifest import as_yaml  # noqa: PLC0415  the help needs none of this, and Ray takes seconds
    from deploy.k8s.overlays import FOLDER, committed, configured, manifests, of_installation, user_secrets, write  # noqa: PLC0415

    if action == "write" and to is None:
        return _written(write(committed(), FOLDER))
    if action == "chart":
        return _chart(to)
    here = configured(overlay, context.obj.config, changes or ())
    if action == "render":
        say(as_yaml(manifests(here)).rstrip("\n"))
    elif action == "secrets":
        for name, what in user_secrets(here).items():
            say(f"{name:<24} {what}")
    else:
        assert to is not None
        return _written(write(of_installation(here), to))
    return 0


def _chart(to: Path | None) -> int:
    from deploy.k8s.helm_chart import chart  # noqa: PLC0415
    from deploy.k8s.overlays import write  # noqa: PLC0415
    from streaming.errors import ConfigError  # noqa: PLC0415

    if to is None:
        raise ConfigError("tidecast k8s chart: give --to FOLDER, where the chart is to be")
    return _written(write(chart(), to))


def _written(paths: list[Path]) -> int:
    for path in paths:
        say(f"wrote {path}")
    if not paths:
        say("all files are up to date")
    return 0
