"""Options on the wire: the client's, `with_options`, and each call's."""

from typing import Any

import pytest
from support.calls import CALLS, GET, HASH, KEY, LIST, Call, ClientFor
from support.clock import FakeClock
from support.server import ScriptedServer
from support.steps import reply

from openrouter_async import (
    AsyncOpenRouter,
    ConfigurationError,
    OpenRouter,
    OpenRouterError,
    RetryConfig,
)

APP = {
    "http_referer": "https://example.com",
    "x_open_router_title": "Example & Co",
    "x_open_router_categories": "cli-agent,cloud-agent",
}
HEADERS = ("HTTP-Referer", "X-OpenRouter-Title", "X-OpenRouter-Categories")


async def sent_headers(client: AsyncOpenRouter, server: ScriptedServer, **options: Any) -> Any:
    """Make a call and give the application's headers that it sent."""
    await GET(client, **options)
    return [server.requests[-1].header(name) for name in HEADERS]


async def test_no_headers_by_default(client_for: ClientFor) -> None:
    """An application that does not name itself is not named."""
    async with ScriptedServer(default=GET.ok()) as server:
        assert await sent_headers(client_for(server), server) == [None, None, None]


VARIABLES = {
    "http_referer": "OPENROUTER_HTTP_REFERER",
    "x_open_router_title": "OPENROUTER_X_OPEN_ROUTER_TITLE",
    "x_open_router_categories": "OPENROUTER_X_OPEN_ROUTER_CATEGORIES",
}


async def test_headers_of_the_environment(
    client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the official SDK reads is read when the client is made; empty is unset."""
    async with ScriptedServer(default=GET.ok()) as server:
        for option, variable in VARIABLES.items():
            monkeypatch.setenv(variable, APP[option])
        client = client_for(server)
        assert await sent_headers(client, server) == list(APP.values())
        for variable in VARIABLES.values():
            monkeypatch.setenv(variable, "")
        assert await sent_headers(client, server) == list(APP.values())
        assert await sent_headers(client_for(server), server) == [None, None, None]


@pytest.mark.parametrize("option", VARIABLES)
async def test_an_argument_wins_over_the_environment(
    option: str, client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the constructor, in `with_options` and in a call, also over a bad value."""
    async with ScriptedServer(default=GET.ok()) as server:
        monkeypatch.setenv(VARIABLES[option], "of the environment")
        at = list(VARIABLES).index(option)
        client = client_for(server)
        for each, options in (
            (client, {option: "mine"}),
            (client.with_options(**{option: "mine"}), {}),
        ):
            assert (await sent_headers(each, server, **options))[at] == "mine"
        monkeypatch.setenv(VARIABLES[option], "gi3xq\n")
        each = client_for(server, **{option: "mine"})
        assert (await sent_headers(each, server))[at] == "mine"


@pytest.mark.parametrize(
    "variable", [*VARIABLES.values(), "OPENROUTER_BASE_URL", "OPENROUTER_API_KEY"]
)
@pytest.mark.parametrize("kind", [AsyncOpenRouter, OpenRouter])
def test_a_bad_variable_is_named(
    variable: str, kind: type[AsyncOpenRouter | OpenRouter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names what is to be mended, and does not show the value."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv(variable, "gi3xq\nX: y")
    with pytest.raises(ConfigurationError, match=f"^{variable} ") as caught:
        kind()
    assert "gi3xq" not in str(caught.value)


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("place", ["constructor", "with_options", "call"])
async def test_headers_of_the_application(place: str, call: Call, client_for: ClientFor) -> None:
    """The same three headers, wherever they are given, from every operation."""
    async with ScriptedServer(default=call.ok()) as server:
        match place:
            case "constructor":
                await call(client_for(server, **APP))
            case "with_options":
                await call(client_for(server).with_options(**APP))
            case _:
                await call(client_for(server), **APP)
    sent = server.requests[0]
    assert [sent.header(name) for name in HEADERS] == list(APP.values())


async def test_nearest_headers_count(client_for: ClientFor) -> None:
    """A call's value replaces one header and leaves the others; None leaves all of them."""
    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server, **APP)
        twin = client.with_options(x_open_router_title="Twin")
        _, _, categories = APP.values()
        assert await sent_headers(twin, server) == ["https://example.com", "Twin", categories]
        assert await sent_headers(twin, server, http_referer="https://other.example") == [
            "https://other.example", "Twin", categories,
        ]  # fmt: skip
        assert await sent_headers(twin, server, http_referer=None) == [
            "https://example.com", "Twin", categories,
        ]  # fmt: skip
        assert await sent_headers(client, server) == list(APP.values())


async def test_extra_headers(client_for: ClientFor) -> None:
    """`http_headers` adds to what the client sends, or replaces it, in any case, never doubles."""
    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server, **APP).with_options(http_headers={"X-Team": "a", "X-Two": "2"})
        extra = {"x-team": "b", "http-referer": "https://b.example", "USER-AGENT": "mine/1"}
        await GET(client, http_headers=extra)
        await GET(client, http_headers={"X-Tab": "a\tb", "X-Empty": ""})
    first, second = server.requests
    assert [first.header(name) for name in ("X-Team", "X-Two", "HTTP-Referer", "User-Agent")] == [
        "b", "2", "https://b.example", "mine/1",
    ]  # fmt: skip
    assert [second.header(name) for name in ("X-Team", "X-Tab", "X-Empty")] == ["a", "a\tb", ""]


async def test_same_name_twice(client_for: ClientFor) -> None:
    """A name in two cases is one header; the later one counts."""
    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server)
        await GET(client, http_headers={"X-Team": "a", "x-team": "b"})
        await GET(client, http_referer="https://a.example", http_headers={"http-referer": "b"})
    assert server.requests[0].values("X-Team") == ["b"]
    assert server.requests[1].values("HTTP-Referer") == ["b"]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_server_url_per_call(call: Call, client_for: ClientFor) -> None:
    """A call may go to another server, with or without a path or a slash at its end."""
    async with ScriptedServer() as usual, ScriptedServer(default=call.ok()) as other:
        client = client_for(usual)
        for base in ("", "/", "/api/v1", "/api/v1/", "/a%2Fb/v2"):
            await call(client, server_url=other.url + base)
        await call(client.with_options(server_url=f"{other.url}/twin"))
    paths = ["", "", "/api/v1", "/api/v1", "/a%2Fb/v2", "/twin"]
    assert [request.target for request in other.requests] == [f"{p}{call.target}" for p in paths]
    assert usual.connections == 0


async def test_retries_per_call(client_for: ClientFor, clock: FakeClock) -> None:
    """Policies are per call, and leave no trace in the client."""
    async with ScriptedServer(default=reply(503)) as server:
        client = client_for(server, clock=clock)
        seen = []
        for options in ({"retries": RetryConfig(max_attempts=2)}, {"retries": None}, {}):
            with pytest.raises(OpenRouterError) as caught:
                await GET(client, **options)
            seen.append(caught.value.attempts)
    assert seen == [2, 1, 3]


async def test_none_means_inherited(client_for: ClientFor) -> None:
    """None is the same as leaving an option out, but for `retries`."""
    inherit = dict.fromkeys((*APP, "timeout", "total_timeout", "server_url", "http_headers"))
    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server, timeout=7, total_timeout=8, **APP).with_options(**inherit)
        assert await sent_headers(client, server, **inherit) == list(APP.values())
    assert (client._settings.timeout, client._settings.total_timeout) == (7, 8)


QUERIES: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"offset": 100}, "?offset=100"),
    ({"offset": "100", "include_disabled": "false"}, "?include_disabled=false&offset=100"),
    ({"include_disabled": True}, "?include_disabled=true"),
    ({"include_expired": False}, "?include_expired=false"),
    ({"workspace_id": "a b&c=d/é"}, "?workspace_id=a+b%26c%3Dd%2F%C3%A9"),
    ({"offset": None, "workspace_id": None}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("given", "query"), QUERIES, ids=str)
async def test_query(given: dict[str, Any], query: str, client_for: ClientFor) -> None:
    """The query goes out exactly as composed; nothing quotes it a second time."""
    async with ScriptedServer(default=LIST.ok()) as server:
        await client_for(server).api_keys.list(**given)
    assert server.requests[0].target == f"/api/v1/keys{query}"


BODIES: list[tuple[str, dict[str, Any], bytes]] = [
    ("create", {"name": "a"}, b'{"name":"a"}'),
    ("create", {"name": "a", "limit": None}, b'{"name":"a","limit":null}'),
    ("create", {"name": "a", "limit": 0}, b'{"name":"a","limit":0}'),
    ("create", {"name": "Ü \U0001f511"}, '{"name":"Ü \U0001f511"}'.encode()),
    (
        "create",
        {"name": "a", "expires_at": "2030-01-01T01:00:00+01:00"},
        b'{"name":"a","expires_at":"2030-01-01T00:00:00Z"}',
    ),
    ("update", {"hash": HASH, "name": "b"}, b'{"name":"b"}'),
    ("update", {"hash": HASH, "limit": None}, b'{"limit":null}'),
    ("update", {"hash": HASH, "limit_reset": None}, b'{"limit_reset":null}'),
    ("update", {"hash": HASH, "limit": 2.5, "name": None}, b'{"limit":2.5}'),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "body"), BODIES, ids=str)
async def test_body(name: str, given: dict[str, Any], body: bytes, client_for: ClientFor) -> None:
    """Omitted, None and a value are three things, to the byte; a rename touches no limit."""
    answer = {"data": GET.document["data"], "key": KEY}
    async with ScriptedServer(default=reply(json=answer)) as server:
        await getattr(client_for(server).api_keys, name)(**given)
    assert server.requests[0].body == body
