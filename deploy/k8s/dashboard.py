"""The Grafana dashboard of an installation, as a ConfigMap that Grafana's sidecar finds. Never asks for a metric."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deploy.k8s.installation import Installation
from deploy.k8s.manifest import Manifest, manifest

COLUMNS = 3
WIDTH, HEIGHT = 24 // COLUMNS, 7


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: its title, its unit as Grafana calls it, and (legend, query) of each line."""

    title: str
    unit: str
    lines: Sequence[tuple[str, str]]


def _quantile(metric: str, share: float, more: str = "") -> str:
    rate = f'rate({metric}_bucket{{namespace="$namespace"{more}}}[$__rate_interval])'
    return f"histogram_quantile({share}, sum by (le) ({rate}))"


def _rate(metric: str, by: str = "") -> str:
    rate = f'rate({metric}{{namespace="$namespace"}}[$__rate_interval])'
    return f"sum by ({by}) ({rate})" if by else f"sum({rate})"


def _sum(metric: str, by: str = "") -> str:
    gauge = f'{metric}{{namespace="$namespace"}}'
    return f"sum by ({by}) ({gauge})" if by else f"sum({gauge})"


RECOMMEND = ',route="/v1/recommend"'
PANELS = (
    Panel("replicas ready", "short", [("ready", _sum("tidecast_replica_ready"))]),
    Panel("requests", "reqps", [("{{route}} {{status}}", _rate("tidecast_requests_total", "route, status"))]),
    Panel(
        "time of an answer",
        "s",
        [(f"p{share:g}", _quantile("tidecast_request_seconds", share / 100, RECOMMEND)) for share in (50, 99)],
    ),
    Panel(
        "freshness: from a record to answers",
        "s",
        [(f"p{share:g}", _quantile("tidecast_freshness_seconds", share / 100, ',stage="total"')) for share in (50, 99)],
    ),
    Panel("lag", "short", [("{{reader}} {{topic}}", _sum("tidecast_lag_records", "reader, topic"))]),
    Panel("records read", "short", [("{{topic}}", _rate("tidecast_records_read_total", "topic"))]),
    Panel("rooms live", "short", [("live", _sum("tidecast_rooms_live")), ("stale", _sum("tidecast_rooms_stale"))]),
    Panel(
        "texts for the encoder",
        "short",
        [("wait", _sum("tidecast_encoder_backlog")), ("encoded a second", _rate("tidecast_texts_encoded_total"))],
    ),
    Panel(
        "records refused", "short", [("{{topic}} {{reason}}", _rate("tidecast_dead_letters_total", "topic, reason"))]
    ),
    Panel("commits", "s", [("p99", _quantile("tidecast_commit_seconds", 0.99))]),
    Panel("dead rooms returned (stays 0)", "short", [("returned", _sum("tidecast_dead_rooms_returned_total"))]),
    Panel("archive", "Bps", [("{{topic}}", _rate("tidecast_archive_bytes_total", "topic"))]),
)


def dashboard(here: Installation) -> Manifest:
    """The ConfigMap. Its label is the one that Grafana's chart looks for."""
    metadata = here.metadata("dashboard")
    metadata["labels"]["grafana_dashboard"] = "1"
    text = json.dumps(_board(here), indent=1) + "\n"
    return manifest("v1", "ConfigMap", metadata, data={f"{here.config.name}.json": text})


def _board(here: Installation) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    variables = [
        {"name": "source", "type": "datasource", "query": "prometheus"},
        {"name": "namespace", "type": "constant", "query": here.config.namespace},
    ]
    panels = [
        {
            "id": number + 1,
            "type": "timeseries",
            "title": panel.title,
            "datasource": source,
            "gridPos": {"x": number % COLUMNS * WIDTH, "y": number // COLUMNS * HEIGHT, "w": WIDTH, "h": HEIGHT},
            "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
            "targets": [
                {"refId": chr(ord("A") + at), "expr": query, "legendFormat": legend, "datasource": source}
                for at, (legend, query) in enumerate(panel.lines)
            ],
        }
        for number, panel in enumerate(PANELS)
    ]
    return {
        "uid": here.config.name,
        "title": f"Tidecast: {here.config.name}",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": variables},
        "panels": panels,
    }
