"""Secrets in URIs are masked wherever they stand, and what is no secret stays readable."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streaming.errors import ArchiveError, ConfigError
from streaming.kafka_config import KafkaConfig
from streaming.masked_uri import MASK, masked, masked_uri, public_uri, without_secrets

SECRET = "wJalrXUtnFEMI"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (f"s3://AKIA:{SECRET}@bucket/path", f"s3://AKIA:{MASK}@bucket/path"),
        (f"s3://AKIA:{SECRET}/with+and/slashes@bucket/p", f"s3://AKIA:{MASK}@bucket/p"),
        (f"s3://AKIA:{SECRET}@at@bucket", f"s3://AKIA:{MASK}@bucket"),
        (f"sftp://user:{SECRET}@host:22/folder", f"sftp://user:{MASK}@host:22/folder"),
        (f"sftp://user%3A{SECRET}@host/folder", f"sftp://user%3A{MASK}@host/folder"),
        (f"redis://:{SECRET}@host", f"redis://:{MASK}@host"),
        (f"SFTP://User:{SECRET}@host", f"SFTP://User:{MASK}@host"),
        (f"simplecache::s3://K:{SECRET}@b", f"simplecache::s3://K:{MASK}@b"),
        (f"s3://bucket/p?region=eu&secret_key={SECRET}&access_key=K", f"s3://bucket/p?region=eu&secret_key={MASK}&access_key={MASK}"),
        (f"s3://bucket?secret%5Fkey={SECRET}", f"s3://bucket?secret%5Fkey={MASK}"),
        (f"s3://bucket?SECRET_KEY={SECRET}", f"s3://bucket?SECRET_KEY={MASK}"),
        (f"abfs://c@account.dfs.core.windows.net/p?sv=2024&sig={SECRET}", f"abfs://c@account.dfs.core.windows.net/p?sv=2024&sig={MASK}"),
        (f"https://h/p?X-Amz-Signature={SECRET}&X-Amz-Date=1", f"https://h/p?X-Amz-Signature={MASK}&X-Amz-Date=1"),
        (f"https://h/p#access_token={SECRET}", f"https://h/p#access_token={MASK}"),
        (f"Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey={SECRET}=", f"Endpoint=sb://h/;SharedAccessKeyName={MASK};SharedAccessKey={MASK}"),
        (f"u:{SECRET}@broker-1:9092,u:{SECRET}@broker-2:9092", f"u:{MASK}@broker-1:9092,u:{MASK}@broker-2:9092"),
        (f"kafka://user:{SECRET}@broker:9092", f"kafka://user:{MASK}@broker:9092"),
        (f"https://{SECRET}@host/p", f"https://{MASK}@host/p"),
        (f"https://h/p?code={SECRET}&pw={SECRET}&pass={SECRET}&jwt={SECRET}", f"https://h/p?code={MASK}&pw={MASK}&pass={MASK}&jwt={MASK}"),
        (f"s3://bucket/p?secret_key=a;{SECRET}&region=eu", f"s3://bucket/p?secret_key={MASK}&region=eu"),
        (f"s3://bucket/p?secret_key=a\"b'{SECRET}", f"s3://bucket/p?secret_key={MASK}"),
        (f"https://h/p?sv=1;token={SECRET}", f"https://h/p?sv=1;token={MASK}"),
        (f"AKIA:{SECRET}@bucket/path", f"AKIA:{MASK}@bucket/path"),
        (f"//AKIA:{SECRET}@bucket/path", f"//AKIA:{MASK}@bucket/path"),
        (f"SharedAccessSignature={SECRET}", f"SharedAccessSignature={MASK}"),
        (f"AccountName=n;AccountKey={SECRET};EndpointSuffix=x", f"AccountName=n;AccountKey={MASK};EndpointSuffix=x"),
    ],
)  # fmt: skip
def test_a_secret_is_masked_and_the_rest_says_where(uri: str, expected: str) -> None:
    assert masked(uri) == masked_uri(uri) == expected
    assert masked(f"cannot open '{uri}': no such host") == f"cannot open '{expected}': no such host"
    assert SECRET not in masked(f"{uri} and {uri}")


@pytest.mark.parametrize(
    "text",
    [
        *("s3://bucket/path", "abfs://container@account.dfs.core.windows.net/p", "hdfs://user@host:9000/p", "./folder"),
        *("/data/a@b", "s3://bucket/p?region=eu-1&scheme=http", "broker-1:9092,broker-2:9092", "http://127.0.0.1:8000/x"),
        *("encoder.max_tokens = 256", "sasl_plain_password=''", "ssl_password=None", "Basic auth is not used"),
        *("chat-0 at offset 7: key=room-1", "mail to somebody@example.org: done", "10:30 @ 11:00", ""),
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == masked_uri(text) == text


def test_a_password_with_spaces_is_masked_where_the_text_is_known_to_be_a_uri() -> None:
    assert masked_uri("sftp://u:two words@host/p") == f"sftp://u:{MASK}@host/p"
    assert masked_uri("s3:/AKIA:two words@bucket/p") == f"s3:/AKIA:{MASK}@bucket/p"  # a slash is missing
    assert masked_uri("AKIA:two, words@bucket") == f"AKIA:{MASK}@bucket"


@given(
    before=st.sampled_from(["s3://K:", "sftp://u:", "abfs://c%3A", "a::s3://K:", "s3:/K:", "//K:", "K:"]),
    password=st.text(min_size=3, max_size=30).map(lambda text: f"{text[:5]}{SECRET}{text[5:]}{SECRET}"),
    after=st.sampled_from(["@bucket/p", "@host:22/p", "@b?region=0"]),
)
def test_whatever_a_password_is_made_of_none_of_it_is_shown(before: str, password: str, after: str) -> None:
    assume("://" in before or not password.startswith("/"))  # K:/folder is a place
    for form in (password, quote(password, safe="")):
        assert SECRET not in masked_uri(f"{before}{form}{after}")
        uri = f"{before}{form}{after}"
        assert SECRET not in without_secrets(f"cannot open {uri}: {password} is wrong", uri)
        assert SECRET not in public_uri(f"s3://K:{form}{after.replace('region', 'token')}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"KafkaConfig(ssl_password='{SECRET} two', port=1)", f"KafkaConfig(ssl_password='{MASK}', port=1)"),
        (f"{{'sasl_plain_password': '{SECRET}', 'a': 1}}", f"{{'sasl_plain_password': '{MASK}', 'a': 1}}"),
        (f"export AWS_SECRET_ACCESS_KEY={SECRET} && x", f"export AWS_SECRET_ACCESS_KEY={MASK} && x"),
        (f"Authorization: Bearer {SECRET}.{SECRET}= sent", f"Authorization: Bearer {MASK} sent"),
        (f"GET 'https://h/p?sig={SECRET}': 403", f"GET 'https://h/p?sig={MASK}': 403"),
    ],
)
def test_a_setting_in_a_text_is_masked_too(text: str, expected: str) -> None:
    assert masked(text) == expected
    assert masked(expected) == expected


def test_no_password_is_in_what_a_debugger_or_a_traceback_shows_of_the_settings() -> None:
    config = KafkaConfig(sasl_plain_password=SECRET, ssl_password=SECRET)
    assert SECRET not in repr(config)
    assert config.client()  # it is used all the same


@pytest.mark.parametrize("text", ["(a:", "?a=", "secret", "a;b=", "x://", "?token=a", "a:@", "a" * 9 + "=1@"])
def test_long_texts_are_masked_in_time_that_grows_with_their_length(text: str) -> None:
    began_s = time.process_time()
    masked(text * 20_000 + "b@=")
    assert time.process_time() - began_s < 5  # what grows with the square takes a minute


def test_a_uri_that_others_read_has_no_secret_and_is_the_same_for_the_same_place() -> None:
    own = {f"s3://K:{SECRET}@bucket/p", "s3://bucket/p", f"s3://bucket/p?secret_key={SECRET}&access_key=K"}
    assert {public_uri(uri) for uri in own} == {"s3://bucket/p"}
    assert public_uri(f"s3://K:a/b@{SECRET}@bucket/p?region=eu&sig={SECRET}") == "s3://bucket/p?region=eu"
    for plain in ("/data/models", "hdfs://user@host/p", "abfs://c@a.dfs.core.windows.net/p", "s3://b/p?region=eu"):
        assert public_uri(plain) == plain


def test_what_a_library_says_of_a_uri_names_no_part_of_its_secret() -> None:
    uri = "sftp://u:p%40ss%20word@host/p?token=abcdef"
    said = f"cannot parse {uri}: p@ss word is refused, so is p%40ss%20word, and abcdef"
    found = without_secrets(said, uri)
    assert "p@ss" not in found
    assert "p%40ss" not in found
    assert "abcdef" not in found
    assert found.startswith(f"cannot parse sftp://u:{MASK}@host/p")


def test_every_error_of_ours_is_told_without_secrets() -> None:
    told = f"archive.uri is 's3://K:{SECRET}@bucket', which cannot be opened"
    for kind in (ArchiveError, ConfigError):
        assert SECRET not in str(kind(told))
        assert SECRET not in f"{kind(told)}"
        assert "s3://K:" in str(kind(told))
