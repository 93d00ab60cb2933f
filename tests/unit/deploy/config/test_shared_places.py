"""Tests that a place which only one host sees is refused on a cluster of several."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from deploy.config.settings import Settings
from deploy.config.shared_places import require_shared, same_vectors
from streaming.errors import ConfigError


def settings(registry: str = "s3://bucket/models", archive: str = "", **training: Any) -> Settings:
    base = Settings()
    return dataclasses.replace(
        base,
        registry=dataclasses.replace(base.registry, uri=registry),
        archive=dataclasses.replace(base.archive, uri=archive),
        training=dataclasses.replace(base.training, **training),
    )


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("registry.uri", settings(registry=".tidecast/models")),
        ("registry.uri", settings(registry="/var/models")),
        ("archive.uri", settings(archive="archive")),
        ("training.folder", settings(archive="s3://bucket/archive", folder="/var/training", every_s=60)),
        (
            "training.checkpoints",
            settings(archive="s3://bucket/a", folder="file:///mnt/training", checkpoints="kept", every_s=60),
        ),
    ],
)
def test_a_path_is_refused_on_several_hosts_and_the_error_says_what_to_do(key: str, wrong: Settings) -> None:
    require_shared(wrong, 1)
    with pytest.raises(ConfigError, match=rf"^{key} is '.*': a path, but the cluster has 3 hosts") as err:
        require_shared(wrong, 3)
    assert "file:///mnt" in str(err.value)


@pytest.mark.parametrize("place", ["s3://bucket/x", "file:///mnt/shared/x", "abfs://container@account/x"])
def test_a_uri_is_taken_as_seen_by_all(place: str) -> None:
    require_shared(settings(place, place, folder=place, checkpoints=place, every_s=60), 3)


def test_what_is_not_used_is_not_looked_at() -> None:
    require_shared(settings(archive="", folder="relative", every_s=60), 3)


def test_a_mounted_training_folder_is_used_as_a_path() -> None:
    mounted = settings(folder="file:///mnt/shared/training").training.below(Path("/elsewhere"))
    assert mounted.folder == "/mnt/shared/training"


def test_checkpoints_at_a_uri_stay_there_and_at_a_path_are_below_the_folder() -> None:
    for checkpoints, found in (("", ""), ("s3://bucket/x", "s3://bucket/x"), ("kept", "/here/kept"), ("/x", "/x")):
        assert settings(checkpoints=checkpoints).training.below(Path("/here")).checkpoints == found


def test_several_hosts_have_one_precision_whatever_their_processors_are() -> None:
    base = Settings()
    assert same_vectors(base, 1) == base
    assert same_vectors(base, 3).encoder.precision == "fp32"
    chosen = dataclasses.replace(base, encoder=dataclasses.replace(base.encoder, precision="bf16"))
    assert same_vectors(chosen, 3) == chosen
