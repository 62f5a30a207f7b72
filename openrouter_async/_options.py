"""Options of clients and calls: retries, timeouts, headers and URLs, checked before any I/O."""

from __future__ import annotations

import enum
import ipaddress
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias, TypedDict, cast
from urllib.parse import urlsplit

import attrs

from openrouter_async import _numbers
from openrouter_async.errors import ConfigurationError
from openrouter_async.secret import Secret


class Omitted(enum.Enum):
    """The type of `OMITTED`; an enum, because type checkers narrow enums by `is`."""

    OMITTED = "omitted"

    def __repr__(self) -> str:
        return "OMITTED"

    def __bool__(self) -> Literal[False]:
        return False


OMITTED: Final = Omitted.OMITTED
"""The parameter was not passed: it is not sent, and the service keeps its value.

`None` is a value of its own where the service accepts `null` (`limit=None` removes a limit).
"""


def _plain(value: float) -> float:
    number = _numbers.real(value)
    # The validator, which knows the field's name, rejects anything else.
    return value if number is None else number


def _positive(_: RetryConfig, attribute: attrs.Attribute[float], value: float) -> None:
    number = _numbers.real(value)
    if number is None or not 0 <= number <= sys.float_info.max:
        raise ConfigurationError(f"{attribute.name} must be a finite number of at least 0")


def _attempts(value: int) -> int:
    attempts = _numbers.whole(value)
    if attempts is None or attempts < 1:
        raise ConfigurationError("max_attempts must be an integer of at least 1")
    return attempts


def _statuses(value: Iterable[int] | None) -> frozenset[int]:
    if value is None:
        return frozenset()
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ConfigurationError("status_codes must be a collection of integers such as {409, 425}")
    statuses = list(map(_numbers.whole, value))
    known = frozenset(status for status in statuses if status and 400 <= status <= 599)
    if not known.issuperset(statuses):
        raise ConfigurationError("status_codes must be integers from 400 to 599")
    return known


@attrs.frozen(kw_only=True)
class RetryConfig:
    """How a call is retried when the retry table allows it; all times are in seconds.

    `None` in place of a `RetryConfig` means a single attempt. No setting makes a create repeat once
    it may have been sent. Raises `ConfigurationError` for values out of range.
    """

    strategy: Literal["backoff", "none"] = "backoff"
    """`"none"` has the same effect as `retries=None`."""
    max_attempts: int = attrs.field(default=3, converter=_attempts)
    """The maximum number of attempts, the first one included."""
    initial_interval: float = attrs.field(default=0.5, converter=_plain, validator=_positive)
    """Upper bound of the first wait, in seconds; waits have full jitter."""
    max_interval: float = attrs.field(default=8.0, converter=_plain, validator=_positive)
    """Upper bound of any wait that the service did not ask for, in seconds."""
    exponent: float = attrs.field(default=2.0, converter=_plain, validator=_positive)
    """The factor by which the bound grows from one wait to the next."""
    max_retry_after: float = attrs.field(default=60.0, converter=_plain, validator=_positive)
    """The longest `Retry-After` to obey, in seconds; if it is longer, the call fails at once."""
    retry_connection_errors: bool = True
    """False: no retry at all if there was no response."""
    status_codes: frozenset[int] = attrs.field(default=None, converter=_statuses)
    """Statuses to retry in addition to those of the table; never for a create."""

    def __attrs_post_init__(self) -> None:
        if self.strategy not in ("backoff", "none"):
            raise ConfigurationError('strategy must be "backoff" or "none"')
        if not isinstance(self.retry_connection_errors, bool):
            raise ConfigurationError("retry_connection_errors must be a bool")
        if self.exponent < 1:
            raise ConfigurationError("exponent must be at least 1")


ONCE: Final = RetryConfig(strategy="none", max_attempts=1)
"""The policy that `retries=None` stands for."""


class CallOptions(TypedDict, total=False):
    """Options of one call; those left out are inherited from the client.

    `timeout` limits one attempt and `total_timeout` the whole call with queueing and waits, both in
    seconds. `retries=None` means a single attempt; for the others, `None` is the same as leaving
    the option out.
    """

    http_referer: str | None
    x_open_router_title: str | None
    x_open_router_categories: str | None
    retries: RetryConfig | None
    timeout: float | None
    total_timeout: float | None
    server_url: str | None
    http_headers: Mapping[str, str] | None


@attrs.frozen(kw_only=True)
class Waiting:
    """Why bulk work waits: passed to `on_wait` whenever the service slows the work down."""

    seconds: float
    """Seconds in which nothing is sent; 0 if requests only start more slowly from now on."""
    rate: float
    """Requests per second that start after that."""
    reason: str
    """One sentence for a person to read."""


OnWait: TypeAlias = Callable[[Waiting], object]
"""Called when bulk work waits; an async function is awaited, and errors that it raises are logged.

The work goes on either way."""

MAX_WAIT: Final = 600.0
"""Total seconds that a request of bulk work waits for the service's rate limit, by default."""


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
"""Environment variables that the official SDK reads too."""
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")
_KEY: Final = re.compile(r"[\x21-\x7e]+")
_HOST: Final = re.compile(r"[0-9A-Za-z._-]+")
_OURS: Final = frozenset({
    "authorization", "host", "cookie", "transfer-encoding", "accept-encoding",
    "connection", "expect", "upgrade",  # these change how the response arrives
})  # fmt: skip


@attrs.frozen(kw_only=True)
class Settings:
    """The options of a client or call, resolved."""

    base_url: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    retries: RetryConfig
    timeout: float
    """Seconds for one attempt, from when it has a connection slot."""
    total_timeout: float
    """Seconds for the whole call: queue, attempts and waits."""
    allow_insecure_http: bool = False

    def override(self, options: CallOptions) -> Settings:
        """Return these settings with a call's options applied; unknown ones raise `TypeError`."""
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
            changes["headers"] = _merged(self.headers, headers)
        if "retries" in options:
            changes["retries"] = checked_retries(options["retries"])
        for name in ("timeout", "total_timeout"):
            seconds = options.get(name)
            if seconds is not None:
                changes[name] = checked_seconds(name, seconds)
        return attrs.evolve(self, **changes)  # type: ignore[arg-type]  # each was checked above


def checked_retries(retries: object) -> RetryConfig:
    """Return the retry policy; None is a single attempt."""
    if retries is None:
        return ONCE
    if not isinstance(retries, RetryConfig):
        raise ConfigurationError("retries must be a RetryConfig, or None for a single attempt")
    return retries


def checked_seconds(name: str, value: object) -> float:
    """Check a timeout in seconds."""
    seconds = _numbers.real(value)
    if seconds is None:
        raise ConfigurationError(f"{name} must be a number of seconds")
    if not 0 < seconds <= sys.float_info.max:
        raise ConfigurationError(f"{name} must be a finite number of seconds above 0")
    return seconds


def checked_url(url: object, *, name: str = "server_url", allow_insecure_http: bool) -> str:
    """Check a base URL and drop its trailing slash; plain http is for loopback unless allowed.

    `name` is the parameter or environment variable that it comes from.
    """
    if not isinstance(url, str) or not url.isascii() or not _KEY.fullmatch(url):
        raise ConfigurationError(f"{name} must be a URL without spaces or special characters")
    try:
        parts = urlsplit(url)
        # Reading an invalid port raises a ValueError.
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
    """Check a proxy's URL without ever showing it, because it may contain a password.

    `name` is the parameter or environment variable that it comes from.
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
    """Build the headers of a client from its options, then the environment."""
    # An empty variable counts as unset.
    headers = {
        _APP_HEADERS[option]: _checked_value(variable, value)
        for option, variable in _APP_VARIABLES.items()
        if options.get(option) is None and (value := os.environ.get(variable))
    }
    return headers | headers_from(options)


def headers_from(options: CallOptions) -> dict[str, str]:
    """Build the headers from a caller's options and check them; errors never show a value."""
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
            raise ConfigurationError("http_headers has a name that is not a valid header name")
        if name.lower() in _OURS or name.lower().startswith(("content-", "proxy-")):
            raise ConfigurationError(f"http_headers must not set {name}: the client sets it itself")
        checked = _checked_value(f"http_headers[{name!r}]", value)
        headers = _merged(headers, {name: checked})
    return headers


def _merged(base: Mapping[str, str], override: Mapping[str, str]) -> dict[str, str]:
    """Merge headers; a name replaces the same name in any other case."""
    replaced = {name.lower() for name in override}
    return {n: v for n, v in base.items() if n.lower() not in replaced} | dict(override)


def _checked_value(option: str, value: object) -> str:
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise ConfigurationError(f"{option} must be a str of printable ASCII characters")
    return value


def checked_key(key: Secret, *, name: str = "api_key") -> Secret:
    """Check that a key can be sent as a header value, without ever showing it.

    `name` is the parameter or environment variable that it comes from.
    """
    if not key.reveal():
        raise ConfigurationError("api_key is empty: set OPENROUTER_API_KEY or pass api_key=")
    if not _KEY.fullmatch(key.reveal()):
        raise ConfigurationError(f"{name} contains whitespace or a non-ASCII character")
    return key
