"""Torch in these tests: on one thread, since several wait for each other on a machine that is shared."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch  # noqa: PLC0415  where no test of these is collected it need not load

    torch.set_num_threads(1)
