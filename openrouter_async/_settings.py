"""What a call goes out with: base URL, headers, retries and times, checked before any I/O."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import urlsplit

import attrs

from openrouter_async import _numbers
from openrouter_async._options import ONCE, CallOptions, RetryConfig
from openrouter_async.errors import ConfigurationError
from openrouter_async.secret import Secret

DEFAULT_SERVER_URL: Final = "https://openrouter.ai/api/v1"

_APP_HEADERS: Final = {
    "http_referer": "HTTP-Referer",
    "x_open_router_title": "X-OpenRouter-Title",
    "x_open_router_categories": "X-OpenRouter-Categories",
}
_APP_VARIABLES: Final = {
    "http_referer": "OPENROUTER_HTTP_REFERER",
    "x_open_router_title": "OPENROUTER_X_OPEN_ROUTER_TITLE",
    "x_open_router_categories": "OPENROUTER_X_OPEN_ROUTER_CATEGORIES",
}
"""The official SDK reads these too."""
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")
_KEY: Final = re.compile(r"[\x21-\x7e]+")
_HOST: Final = re.compile(r"[0-9A-Za-z._-]+")
_OURS: Final = frozenset({
    "authorization", "host", "cookie", "transfer-encoding", "accept-encoding",
    "connection", "expect", "upgrade",  # with these the answer would not be one
})  # fmt: skip


@attrs.frozen(kw_only=True)
class Settings:
    """The options of a client or call, resolved."""

    base_url: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    retries: RetryConfig
    timeout: float
    """Seconds for one attempt, from the moment it has a connection slot."""
    total_timeout: float
    """Seconds for the whole call: queue, attempts and waits."""
    allow_insecure_http: bool = False

    def override(self, options: CallOptions) -> Settings:
        """Lay a call's options over these; raises `TypeError` for an unknown one."""
        if not options:
            return self
        unknown = options.keys() - CallOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
        changes: dict[str, object] = {}
        url = options.get("server_url")
        if url is not None:
            changes["base_url"] = checked_url(url, allow_insecure_http=self.allow_insecure_http)
        headers = headers_from(options)
        if headers:
            changes["headers"] = _laid_over(self.headers, headers)
        if "retries" in options:
            changes["retries"] = checked_retries(options["retries"])
        for name in ("timeout", "total_timeout"):
            seconds = options.get(name)
            if seconds is not None:
                changes[name] = checked_seconds(name, seconds)
        return attrs.evolve(self, **changes)  # type: ignore[arg-type]  # each was checked above


def checked_retries(retries: object) -> RetryConfig:
    """Give the policy; None is one attempt."""
    if retries is None:
        return ONCE
    if not isinstance(retries, RetryConfig):
        raise ConfigurationError("retries must be a RetryConfig, or None for a single attempt")
    return retries


def checked_seconds(name: str, value: object) -> float:
    """Check a time-out in seconds."""
    seconds = _numbers.real(value)
    if seconds is None:
        raise ConfigurationError(f"{name} must be a number of seconds")
    if not 0 < seconds <= sys.float_info.max:
        raise ConfigurationError(f"{name} must be a finite number of seconds above 0")
    return seconds


def checked_url(url: object, *, name: str = "server_url", allow_insecure_http: bool) -> str:
    """Check a base URL and drop its trailing slash; plain http is for loopback unless allowed.

    `name` is where it comes from: a parameter or an environment variable.
    """
    if not isinstance(url, str) or not url.isascii() or not _KEY.fullmatch(url):
        raise ConfigurationError(f"{name} must be a URL without spaces or special characters")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ConfigurationError(f"{name} must start with https:// and name a host")
    if parts.username is not None or "?" in url or "#" in url:
        raise ConfigurationError(f"{name} must have no user, password, query or fragment")
    if parts.scheme == "http" and not (allow_insecure_http or _is_loopback(parts.hostname)):
        raise ConfigurationError(
            f"{name} is plain http, which would send the key unencrypted: use https, or "
            "allow_insecure_http=True"
        )
    return url.rstrip("/")


def checked_proxy(name: str, proxy: object) -> str:
    """Check a proxy's URL, without ever showing it: it may have a password.

    `name` is where it comes from: a parameter or an environment variable.
    """
    problem = _problem_of_proxy(proxy)
    if problem is None:
        return cast("str", proxy)
    del proxy  # a traceback with locals would show it
    raise ConfigurationError(f"{name} must {problem}")


def _problem_of_proxy(proxy: object) -> str | None:
    if not isinstance(proxy, str) or not _KEY.fullmatch(proxy) or "\\" in proxy:
        return "be a URL without spaces or special characters"
    try:
        parts = urlsplit(proxy)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https"):
        return (
            "start with http:// or https://, as in http://host:3128; a SOCKS proxy needs a "
            "connector of your own"
        )
    if port == 0 or not _is_host(parts.hostname or ""):
        return "name a host, as in http://host:3128"
    if parts.path not in ("", "/") or "?" in proxy or "#" in proxy:
        return "have no path, query or fragment; in a password, percent-encode / ? and #"
    return None


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _HOST.fullmatch(host) is not None
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def default_headers(options: CallOptions) -> dict[str, str]:
    """Build the headers of a client: what the caller passes, else what the environment has."""
    headers = {
        _APP_HEADERS[option]: _checked_value(variable, value)
        for option, variable in _APP_VARIABLES.items()
        if options.get(option) is None and (value := os.environ.get(variable))
    }
    return headers | headers_from(options)


def headers_from(options: CallOptions) -> dict[str, str]:
    """Build and check the headers that a caller asked for; errors never show a value."""
    headers: dict[str, str] = {}
    for option, header in _APP_HEADERS.items():
        value = options.get(option)
        if value is not None:
            headers[header] = _checked_value(option, value)
    extra = options.get("http_headers")
    if extra is not None and not isinstance(extra, Mapping):
        raise ConfigurationError("http_headers must be a mapping of names to values")
    for name, value in (extra or {}).items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ConfigurationError("http_headers has a name that is no header name")
        if name.lower() in _OURS or name.lower().startswith(("content-", "proxy-")):
            raise ConfigurationError(f"http_headers must not set {name}: the client does")
        checked = _checked_value(f"http_headers[{name!r}]", value)
        headers = _laid_over(headers, {name: checked})
    return headers


def _laid_over(below: Mapping[str, str], above: Mapping[str, str]) -> dict[str, str]:
    """Join headers; a name in any case replaces the same name in another."""
    replaced = {name.lower() for name in above}
    return {n: v for n, v in below.items() if n.lower() not in replaced} | dict(above)


def _checked_value(option: str, value: object) -> str:
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise ConfigurationError(f"{option} must be a str of printable ASCII characters")
    return value


def checked_key(key: Secret, *, name: str = "api_key") -> Secret:
    """Check that a key can be a header value, without ever showing it.

    `name` is where it comes from: a parameter or an environment variable.
    """
    if not key.reveal():
        raise ConfigurationError("api_key is empty: set OPENROUTER_API_KEY or pass api_key=")
    if not _KEY.fullmatch(key.reveal()):
        raise ConfigurationError(f"{name} has white space or a character that is not ASCII")
    return key
