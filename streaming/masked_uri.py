"""The one door through which URIs are printed: passwords, keys and signatures in them are masked. Never prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

MASK = "********"
SECRET_NAMES = ("secret", "passw", "passphrase", "pwd", "token", "key", "sig", "credential", "auth", "sas")
SECRET_WORDS = {"pass", "pw", "jwt", "bearer", "session", "code"}  # whole names only: each is a part of harmless ones
LEAST_SECRET = 4  # characters: shorter ones appear in half of all texts by chance

# user:password@ up to the last "@": an unescaped password may hold "/" and "@", as those of S3 do
_USER_INFO = re.compile(
    r"(?P<before>[A-Za-z][A-Za-z0-9+.-]{0,30}://(?:(?!%3A)[^\s:/?#@])*(?::|%3A))(?P<secret>\S*)@", re.I
)
# Without a scheme: user:password@host:port, as in a list of brokers, or user:password@bucket/path
_BARE = re.compile(r"(?P<before>(?:^|(?<=[\s,\"'(=/]))[\w.+-]+:)(?P<secret>[^\s@/,]{1,200})@(?=[\w.-]+(?::\d|/))")
_TOKEN = re.compile(r"(?P<before>https?://)(?P<secret>[^\s:/?#@]+)@", re.I)  # https://TOKEN@host
_NAME = re.compile(r"[?&;#]([\w.%+-]+)=")
# A value: the end of a sentence or of a quotation is no part of it. After ";" or "#" a further ";" ends it
_END = r"\"',.:)\]}>"
_OF_QUERY = re.compile(rf"[^\s&#]*[^\s&#{_END}]")
_OF_LIST = re.compile(rf"[^\s&#;]*[^\s&#;{_END}]")
_SETTING = re.compile(r"(?<![\w.-])([\w.-]+)(?:\s*=\s*|['\"]:\s*(?=['\"]))")  # name = value, 'name': 'value'
_SECRET_SETTING = re.compile(r"secret|passw|passphrase|(?:account|access|api)_?key|signature|_token(?!s)", re.I)
_VALUE = re.compile(r"(?!(?:None|True|False)\b)(?:'([^']+)'|\"([^\"]+)\"|([^\s,;&'\")}\]]+))")
_BEARER = re.compile(r"(?P<before>\b(?:Bearer|Basic)\s+)(?P<secret>[\w.~+/-]{8,}=*)")
# A text that is one URI as a whole: a password in it may hold anything
_USER = r"(?:(?!%3A)[^:/?#@])*(?::|%3A)"
_WHOLE = re.compile(
    rf"^(?P<before>(?:[\w+.-]+::)*[\w+.-]+:/{{1,2}}{_USER}|/{{0,2}}{_USER}(?!/))(?P<secret>.*)@(?=\S)",
    re.I | re.DOTALL,
)


def masked(text: str) -> str:
    """Masks the secrets of a URI, or of any text with URIs and settings in it, for printing."""
    if "@" in text:
        text = _USER_INFO.sub(rf"\g<before>{MASK}@", text)
        text = _BARE.sub(rf"\g<before>{MASK}@", text)
        text = _TOKEN.sub(rf"\g<before>{MASK}@", text)
    if "=" in text or ":" in text:
        text = _without(_parameters(text), text)
        text = _without(_settings(text), text)
    return _BEARER.sub(rf"\g<before>{MASK}", text)


def masked_uri(uri: str) -> str:
    """Masks the secrets of a text that is one URI. Its password may even hold spaces, or its scheme lack a slash."""
    return masked(uri if _BARE.search(uri) else _WHOLE.sub(rf"\g<before>{MASK}@", uri))


def public_uri(uri: str) -> str:
    """A URI without its secrets and their user, to be stored where others read it."""
    uri = re.sub(rf"(://){_USER}.*@", r"\1", uri, flags=re.I | re.DOTALL)
    place, mark, query = uri.partition("?")
    kept = [part for part in query.split("&") if not _is_secret(part.partition("=")[0])]
    return place + (mark + "&".join(kept) if any(kept) else "")


def without_secrets(text: str, uri: str) -> str:
    """Masks the secrets in a library's message about a URI: it may quote the secret alone, or decoded."""
    text = masked(text.replace(uri, masked_uri(uri)))
    for secret in sorted(_secrets(uri), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _without(spans: Iterator[tuple[int, int]], text: str) -> str:
    parts, at = [], 0
    for begin, end in spans:
        parts += [text[at:begin], MASK]
        at = end
    return "".join([*parts, text[at:]])


def _parameters(text: str) -> Iterator[tuple[int, int]]:
    """Spans (begin, end) of the secret values in ?name=value and ;name=value."""
    at = 0
    for named in _NAME.finditer(text):
        if named.start() >= at and _is_secret(named[1]):
            value = (_OF_QUERY if named[0][0] in "?&" else _OF_LIST).match(text, named.end())
            if value is not None:
                at = value.end()
                yield named.end(), at


def _settings(text: str) -> Iterator[tuple[int, int]]:
    """Spans (begin, end) of the secret values in settings of a repr or a shell, inside of their quotes."""
    at = 0
    for named in _SETTING.finditer(text):
        if named.start() >= at and _SECRET_SETTING.search(named[1]):
            value = _VALUE.match(text, named.end())
            if value is not None and value.lastindex is not None:
                at = value.end()
                yield value.span(value.lastindex)


def _is_secret(name: str) -> bool:
    name = unquote(name).lower()
    return name in SECRET_WORDS or any(part in name for part in SECRET_NAMES)


def _secrets(uri: str) -> set[str]:
    found = {match["secret"] for match in (_WHOLE.search(uri), _TOKEN.search(uri)) if match is not None}
    found |= {uri[begin:end] for begin, end in _parameters(uri)}
    return {form for secret in found for form in (secret, unquote(secret)) if len(form) >= LEAST_SECRET}
