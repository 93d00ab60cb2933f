"""The console's pod: nobody reaches it but by a forwarded port, and it reaches what it asks."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.config.settings import load
from deploy.k8s.console import PORT
from deploy.k8s.overlays import OVERLAYS, configured, manifests
from tests.unit.deploy.k8s.made import here, of_kind, the


def pod(overlay: str) -> dict[str, Any]:
    spec: dict[str, Any] = the(overlay, "Deployment", "tidecast-console")["spec"]["template"]["spec"]
    return spec


def environment(overlay: str) -> dict[str, Any]:
    (container,) = pod(overlay)["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_listens_on_its_own_loopback_and_no_policy_lets_anybody_in(overlay: str) -> None:
    given = {name: value for name, value in environment(overlay).items() if isinstance(value, str)}
    console = load(
        None, {name: value for name, value in given.items() if name.startswith("TIDECAST_")}
    ).settings.console
    assert (console.host, console.port, console.expose) == ("127.0.0.1", PORT, False)
    assert here(overlay).settings.console.host == "127.0.0.1"
    policy = the(overlay, "NetworkPolicy", "tidecast-console")["spec"]
    assert policy["policyTypes"] == ["Egress"]
    services = [one["spec"]["selector"] for one in of_kind(overlay, "Service")]
    assert the(overlay, "Deployment", "tidecast-console")["spec"]["selector"]["matchLabels"] not in services


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_asks_services_that_are_there_and_let_it_in(overlay: str) -> None:
    asked = environment(overlay)
    ports = {
        f"http://{one['metadata']['name']}:{port['port']}"
        for one in of_kind(overlay, "Service")
        for port in one["spec"]["ports"]
    }
    assert {asked["TIDECAST_CONSOLE__URL"], asked["TIDECAST_CONSOLE__ADMIN_URL"]} <= ports
    http = here(overlay).settings.http
    (rule,) = [
        rule
        for rule in the(overlay, "NetworkPolicy", "tidecast-serving")["spec"]["ingress"]
        if {"podSelector": {"matchLabels": here(overlay).selector("console")}} in rule["from"]
    ]
    assert {one["port"] for one in rule["ports"]} == {http.port, http.admin}


def test_it_has_a_key_only_where_callers_need_one() -> None:
    wanted = environment("prod")["TIDECAST_HTTP__TOKEN"]["secretKeyRef"]
    assert (wanted["name"], wanted["key"]) == ("tidecast-console", "token")
    assert "TIDECAST_HTTP__TOKEN" not in environment("dev")


def test_an_installation_may_do_without() -> None:
    without = manifests(configured("prod", None, ["kubernetes.console=false"]))
    assert not [one for one in without if "console" in one["metadata"]["name"] and one["kind"] != "ServiceAccount"]
