"""What tests of training share, a Ray of their own; and those of the console, a browser before one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from deploy.config.ray_settings import RayConfig
from deploy.ray.local_ray import LocalRay
from tests.console_api import FakeApi, Stage
from tests.console_process import chromium_browser, console_process
from tests.console_site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    ray = LocalRay(RayConfig())
    os.environ.update(ray.environment())
    try:
        ray.start()
        yield ray.address
    finally:
        ray.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared_site(browser: Browser) -> Iterator[Site]:
    stage = Stage()
    with FakeApi(stage) as api, console_process(api.url, api.admin_url, ["--viewer", "v000017"]) as console:
        yield Site(console.url, stage, browser)


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    yield shared_site
    fresh = Stage()
    for one in fields(fresh):
        if one.name not in ("asked", "began_s"):
            setattr(shared_site.stage, one.name, getattr(fresh, one.name))
