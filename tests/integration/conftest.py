"""What tests of training share: a Ray of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from deploy.config.ray_settings import RayConfig
from deploy.ray.local_ray import LocalRay


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    ray = LocalRay(RayConfig())
    os.environ.update(ray.environment())
    try:
        ray.start()
        yield ray.address
    finally:
        ray.kill()
