"""Secrets leave the settings before these travel, and come back from the environment of the process that needs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config.secrets import with_secrets, without_secrets
from deploy.config.settings import load
from streaming.errors import ConfigError
from streaming.kafka_config import KafkaConfig

SECRET = {"TIDECAST_KAFKA__SASL_PLAIN_PASSWORD": "hush-hush"}


def test_settings_that_travel_hold_no_secret_and_a_process_reads_its_own() -> None:
    settings = load(None, {**SECRET, "TIDECAST_HTTP__REPLICAS": "3"}).settings
    bare = without_secrets(settings)
    assert bare.kafka.sasl_plain_password == ""
    assert with_secrets(bare, SECRET, "recommender") == settings


def test_each_component_has_its_own_user_where_the_name_says_so() -> None:
    config = KafkaConfig(sasl_plain_username="live-{component}", sasl_credentials_file="/etc/{component}/password")
    own = config.as_component("room-worker")
    assert (own.sasl_plain_username, own.sasl_credentials_file) == ("live-room-worker", "/etc/room-worker/password")
    assert KafkaConfig(sasl_plain_username="one").as_component("room-worker").sasl_plain_username == "one"


def test_a_password_in_a_file_is_read_anew_for_each_client(tmp_path: Path) -> None:
    file = tmp_path / "password"
    config = KafkaConfig(bootstrap_servers="a:1", sasl_credentials_file=str(file))
    for password in ("first", "second"):
        file.write_text(f"{password}\n")
        assert config.client()["sasl_plain_password"] == password


def test_a_password_that_cannot_be_read_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    config = KafkaConfig(bootstrap_servers="a:1", sasl_credentials_file=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"kafka\.sasl_credentials_file .*none cannot be read"):
        config.client()


def test_a_user_without_a_password_is_an_error_that_says_where_to_set_it() -> None:
    settings = load(None, {"TIDECAST_KAFKA__SASL_PLAIN_USERNAME": "tidecast"}).settings
    with pytest.raises(ConfigError, match=r"'tidecast'.*TIDECAST_KAFKA__SASL_PLAIN_PASSWORD on each host"):
        with_secrets(settings, {}, "encoder")
    assert (
        with_secrets(settings, {"TIDECAST_KAFKA__SASL_PLAIN_PASSWORD": "p"}, "encoder").kafka.sasl_plain_password == "p"
    )
