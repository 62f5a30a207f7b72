"""What a caller may not pass: refused by name before any I/O, and never echoed."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from support.calls import CALLS, DELETE, GET, HASH, KEY, UPDATE, Call, ClientFor
from support.secrets import assert_not_leaked, planted_secret, tracebacks_with_locals
from support.server import ScriptedServer

from openrouter_async import (
    AsyncOpenRouter,
    ConfigurationError,
    InvalidRequestError,
    OpenRouterError,
)

BAD_HASHES: dict[str, Any] = {
    "up": "../x", "dots": "..", "dot": ".", "empty": "", "slash": "a/b", "query": "a?b",
    "fragment": "a#b", "quoted dots": "%2e%2e", "CR": f"{HASH}\r", "LF": f"{HASH}\n",
    "CRLF": f"{HASH}\r\nX: y", "NUL": f"{HASH}\0", "10 kB": "a" * 10_000, "a key": KEY,
    "short": "abc", "blank": " " * 64, "backslash": "..\\..\\keys", "accent": "é" * 64,
    "digits of another script": "٣" * 64, "None": None, "bytes": HASH.encode(), "number": 7,
}  # fmt: skip


@pytest.mark.parametrize("call", [GET, UPDATE, DELETE], ids=str)
@pytest.mark.parametrize("case", BAD_HASHES)
async def test_hash(case: str, call: Call, client_for: ClientFor) -> None:
    """Fault 21: whatever would reach another URL is refused before a connection is opened."""
    value = BAD_HASHES[case]
    fields = {name: given for name, given in call.parameters if name != "hash"}
    async with ScriptedServer() as server:
        method = getattr(client_for(server).api_keys, call.name)
        with pytest.raises(InvalidRequestError, match=r"^\w+: hash must be") as caught:
            await method(hash=value, **fields)
    assert server.connections == 0
    assert (caught.value.parameter, caught.value.operation) == ("hash", call.name)
    assert caught.value.attempts == 0
    assert isinstance(caught.value, ValueError)


async def test_key_in_place_of_a_hash_is_not_shown(client_for: ClientFor) -> None:
    """Fault 21: a key where its hash belongs is neither sent nor repeated in the error."""
    secret = planted_secret()
    async with ScriptedServer() as server:
        with pytest.raises(InvalidRequestError, match="not the key itself") as caught:
            await client_for(server).api_keys.get(secret)
    assert server.connections == 0
    assert_not_leaked(secret, str(caught.value), repr(caught.value), repr(vars(caught.value)))


BAD_HEADERS: dict[str, Any] = {
    "CR": "a\rb", "LF": "a\nb", "CRLF": "a\r\nX: 1", "NUL": "a\0b", "accent": "é",
    "euro": "€", "DEL": "a\x7f", "escape": "\x1b[31m", "number": 7, "bytes": b"a",
}  # fmt: skip
HEADER_OPTIONS = ("http_referer", "x_open_router_title", "x_open_router_categories")


@pytest.mark.parametrize("option", [*HEADER_OPTIONS, "http_headers"])
@pytest.mark.parametrize("case", BAD_HEADERS)
async def test_header_values(case: str, option: str, client_for: ClientFor) -> None:
    """Fault 22: a value that is no header's is refused by the option's name, without the value."""
    value = BAD_HEADERS[case]
    options = {option: {"X-Mine": value} if option == "http_headers" else value}
    async with ScriptedServer() as server:
        client = client_for(server)
        with pytest.raises(ConfigurationError, match=f"^{option}.* must be") as caught:
            await GET(client, **options)
        with pytest.raises(ConfigurationError):
            client.with_options(**options)
        if option != "http_headers":
            with pytest.raises(ConfigurationError):
                client_for(server, **options)
    assert server.connections == 0
    assert not isinstance(value, str) or value not in str(caught.value)


NAMES = (
    "Authorization", "authorization", "HOST", "Cookie", "Content-Type", "content-length",
    "Content-Encoding", "Transfer-Encoding", "Accept-Encoding", "Connection", "Expect", "Upgrade",
    "Proxy-Authorization", "", "X Y", "X:Y", "X\r\nY", "Ü",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_header_names(name: str, client_for: ClientFor) -> None:
    """Fault 22: what the client sets itself, and what is no name, cannot be set."""
    async with ScriptedServer() as server:
        client = client_for(server)
        with pytest.raises(ConfigurationError, match="http_headers"):
            await GET(client, http_headers={name: "value"})
        with pytest.raises(ConfigurationError, match="http_headers"):
            client.with_options(http_headers={name: "value"})
    assert server.connections == 0


SECRET = planted_secret()
BAD_KEYS: dict[str, Any] = {
    "newline inside": f"{SECRET[:40]}\n{SECRET[40:]}",
    "newline at the end": f"{SECRET}\n",
    "CRLF": f"{SECRET}\r\nX-Evil: 1",
    "blank": f" {SECRET}",
    "NUL": f"{SECRET}\0",
    "accent": f"{SECRET}é",
    "bytes": SECRET.encode(),
    "list": [SECRET],
}


@pytest.mark.parametrize("case", BAD_KEYS)
async def test_key_that_is_no_header(case: str, client_for: ClientFor) -> None:
    """Fault 22: it is refused at once, and no text or traceback with locals shows it."""
    with pytest.raises(ConfigurationError, match="api_key") as caught:
        AsyncOpenRouter(BAD_KEYS[case])
    error = caught.value
    traceback = tracebacks_with_locals(error, without_locals_of={__file__})
    assert_not_leaked(SECRET, str(error), repr(vars(error)), traceback)


@pytest.mark.parametrize("case", BAD_KEYS)
async def test_key_function_that_gives_no_header(case: str, client_for: ClientFor) -> None:
    """Fault 22: what a function gives is held to the same, and nothing is sent."""
    async with ScriptedServer() as server:
        client = client_for(server, api_key=lambda: BAD_KEYS[case])
        with pytest.raises(ConfigurationError, match="api_key") as caught:
            await GET(client)
    error = caught.value
    assert server.connections == 0
    traceback = tracebacks_with_locals(error, without_locals_of={__file__})
    assert_not_leaked(SECRET, str(error), repr(vars(error)), traceback)


BAD_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "name": ("create", {"name": ""}),
    "limit": ("create", {"name": "a", "limit": float("nan")}),
    "limit_reset": ("create", {"name": "a", "limit_reset": "hourly"}),
    "include_byok_in_limit": ("create", {"name": "a", "include_byok_in_limit": "true"}),
    "expires_at": ("create", {"name": "a", "expires_at": "2030-01-01T00:00:00"}),
    "creator_user_id": ("create", {"name": "a", "creator_user_id": ""}),
    "workspace_id": ("create", {"name": "a", "workspace_id": 7}),
    "external.api_key": ("create", {"name": "a", "external": {"user": "u", "api_key": "short"}}),
    "disabled": ("update", {"hash": HASH, "disabled": "false"}),
    "offset": ("list", {"offset": -1}),
    "include_disabled": ("list", {"include_disabled": "yes"}),
    "include_expired": ("list", {"include_expired": 1}),
}


@pytest.mark.parametrize("parameter", BAD_PARAMETERS)
async def test_parameters(parameter: str, client_for: ClientFor) -> None:
    """A refused parameter is named, and no connection is opened."""
    name, given = BAD_PARAMETERS[parameter]
    async with ScriptedServer() as server:
        with pytest.raises(InvalidRequestError, match=f"{parameter} must be") as caught:
            await getattr(client_for(server).api_keys, name)(**given)
    assert server.connections == 0
    assert (caught.value.parameter, caught.value.operation) == (parameter, name)


@pytest.mark.parametrize(
    "external", [{"user": "", "api_key": SECRET}, {"user": 7, "api_key": SECRET}]
)
async def test_external_key_is_not_shown(external: dict[str, Any], client_for: ClientFor) -> None:
    """A partner's key is in no text and no traceback with locals of a refused create."""
    async with ScriptedServer() as server:
        with pytest.raises(InvalidRequestError, match=r"external\.user") as caught:
            await client_for(server).api_keys.create("acme", external=external)
    assert server.connections == 0
    traceback = tracebacks_with_locals(caught.value, without_locals_of={__file__})
    assert_not_leaked(SECRET, str(caught.value), repr(vars(caught.value)), traceback)


async def test_update_without_a_change(client_for: ClientFor) -> None:
    """An update that changes nothing is refused, as the service itself would."""
    async with ScriptedServer() as server:
        with pytest.raises(InvalidRequestError, match="at least one field"):
            await client_for(server).api_keys.update(HASH)
    assert server.connections == 0


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_unknown_option(call: Call, client_for: ClientFor) -> None:
    """A misspelled option is a `TypeError` that names it, from every method."""
    async with ScriptedServer() as server:
        with pytest.raises(TypeError, match="'retry'"):
            await call(client_for(server), retry=None)
        with pytest.raises(TypeError, match="'retry'"):
            client_for(server).with_options(retry=None)
    assert server.connections == 0


BAD_OPTIONS: dict[str, list[Any]] = {
    "timeout": [0, -1, float("inf"), float("nan"), True, "9"],
    "total_timeout": [0, -1, float("inf"), float("nan"), False, []],
    "retries": [3, "none", {}],
    "http_headers": [["X-A"], "X-A: 1"],
    "server_url": [
        "", "example.com", "ftp://example.com", "http://example.com", "https://", "https://a b",
        "https://me:word@example.com", "https://example.com?x=1", "https://example.com#x",
        "https://example.com:99999", "https://exämple.com", 7,
    ],
}  # fmt: skip
CASES = [(option, value) for option, values in BAD_OPTIONS.items() for value in values]


@pytest.mark.parametrize(("option", "value"), CASES, ids=repr)
async def test_options(option: str, value: Any, client_for: ClientFor) -> None:
    """An option out of range is a `ConfigurationError` that names it, wherever it is given."""
    async with ScriptedServer() as server:
        client = client_for(server)
        attempts: list[Callable[[], Any]] = [
            lambda: GET(client, **{option: value}),
            lambda: client.with_options(**{option: value}),
        ]
        if option != "http_headers" and value != "":
            attempts.append(lambda: client_for(server, **{option: value}))
        for attempt in attempts:
            with pytest.raises(ConfigurationError, match=option):
                await result if inspect.isawaitable(result := attempt()) else None
    assert server.connections == 0


async def test_refusals_are_errors_of_ours(client_for: ClientFor) -> None:
    """`except OpenRouterError` catches refusals, and so does `except ValueError`."""
    with pytest.raises(OpenRouterError):
        AsyncOpenRouter("")
    with pytest.raises(ValueError, match="api_key is empty"):
        AsyncOpenRouter("")
