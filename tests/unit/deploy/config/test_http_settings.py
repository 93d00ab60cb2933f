"""Hosts and ports: which are taken, and what is said of the others."""

from __future__ import annotations

import pytest

from deploy.config.http_settings import HttpConfig
from streaming.errors import ConfigError


def test_a_port_out_of_range_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"http\.port is 70000"):
        HttpConfig(port=70_000)


@pytest.mark.parametrize(
    "host", ["http://localhost", "u:wJalrXUtnFEMI@h", "localhost:8000", "[::1]", "a b", "a/b", "h\n"]
)
def test_a_host_that_is_none_is_a_configuration_error(host: str) -> None:
    for name in ("host", "admin_host"):
        with pytest.raises(ConfigError, match=rf"http\.{name} is .*; it must be a name or an address") as caught:
            HttpConfig(**{name: host})  # type: ignore[arg-type]
        assert "wJalrXUtnFEMI" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::", "0.0.0.0", "", "node-7.example.org", "fe80::1%eth0"])
def test_a_host_may_be_a_name_or_an_address(host: str) -> None:
    assert HttpConfig(host=host).url.startswith("http://")
