"""What goes over the wire beside the options: heads, bodies, connections; and what never does."""

import asyncio
import json
import platform

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from support.calls import CALLS, CREATE, GET, KEY, LIST, REPEATABLE, Call, ClientFor
from support.clock import FakeClock
from support.leaks import no_leaks
from support.ports import refused_port
from support.server import ScriptedServer
from support.steps import Step, close_before_head, delay, head, raw, reply, reset
from support.wire import Connection, Request

from openrouter_async import (
    AmbiguousCreateError,
    APIConnectionError,
    ConfigurationError,
    OpenRouterError,
    __version__,
)

AGENT = (
    f"openrouter_async/{__version__} Python/{platform.python_version()} "
    f"aiohttp/{aiohttp.__version__}"
)


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_exact_head(call: Call, client_for: ClientFor) -> None:
    """Every header that goes out is one that somebody chose."""
    async with ScriptedServer(default=call.ok()) as server:
        await call(client_for(server))
    expected = {
        "Host": f"127.0.0.1:{server.port}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "User-Agent": AGENT,
        "Authorization": f"Bearer {KEY}",
    }
    if call.sent:
        expected |= {"Content-Type": "application/json", "Content-Length": str(len(call.body))}
    elif call.method == "DELETE":
        expected["Content-Length"] = "0"
    if call is CREATE:
        expected["Connection"] = "close"
    sent = server.requests[0]
    assert dict(sent.headers) == expected
    assert len(sent.headers) == len(expected)
    assert (sent.method, sent.target, sent.version) == (
        call.method,
        f"/api/v1{call.target}",
        "HTTP/1.1",
    )
    assert sent.body == call.body


async def test_reads_share_a_connection(client_for: ClientFor) -> None:
    """One after the other, calls of all kinds but create use the same connection."""
    async with ScriptedServer(*[call.ok() for call in REPEATABLE]) as server:
        client = client_for(server)
        for call in REPEATABLE:
            await call(client)
    assert [request.connection for request in server.requests] == [1] * len(REPEATABLE)


async def test_each_create_has_its_own_connection(client_for: ClientFor) -> None:
    """A create never goes over a connection that may have gone stale."""
    async with ScriptedServer(default=CREATE.ok()) as server:
        client = client_for(server)
        for _ in range(3):
            await CREATE(client)
        server.script(GET.ok(), CREATE.ok(), GET.ok())
        for call in (GET, CREATE, GET):
            await call(client)
    assert [request.connection for request in server.requests] == [1, 2, 3, 4, 5, 4]


async def test_create_beside_stale_connections(client_for: ClientFor) -> None:
    """However many idle connections have died unnoticed, a create is not ambiguous."""
    server: ScriptedServer
    async with ScriptedServer(*[delay(0.02, GET.ok())] * 20, default=CREATE.ok()) as server:
        client = client_for(server)
        await asyncio.gather(*(GET(client) for _ in range(20)))
        created = await CREATE(client)
    assert created.key
    assert server.requests[-1].number == 1


STALE: list[Step] = [close_before_head(), reset()]


@pytest.mark.parametrize("call", REPEATABLE, ids=str)
@pytest.mark.parametrize("stale", STALE, ids=lambda step: step.__name__)
async def test_stale_connection(
    stale: Step, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """A kept connection that is dead costs one attempt that we count, and none that we do not."""
    told: list[object] = []
    async with ScriptedServer(call.ok(), stale, call.ok()) as server:
        client = client_for(server, clock=clock, on_attempt=lambda *facts: told.append(facts[2]))
        await call(client)
        await call(client)
    assert [(r.connection, r.number) for r in server.requests] == [(1, 1), (1, 2), (2, 1)]
    assert told == [call.status, APIConnectionError, call.status]
    assert clock.sleeps == [0.5]


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("stale", STALE, ids=lambda step: step.__name__)
async def test_no_hidden_repeat(stale: Step, call: Call, client_for: ClientFor) -> None:
    """Without retries a lost request is sent once."""
    async with ScriptedServer(call.ok(), stale, default=call.ok()) as server:
        client = client_for(server, retries=None)
        await call(client)
        with pytest.raises(OpenRouterError):
            await call(client)
    assert len(server.requests) == 2


async def test_connections_closed_by_the_server_are_left(client_for: ClientFor) -> None:
    """A connection that the server announced to close, or closed, is not tried again."""
    body = json.dumps(GET.document).encode()
    unannounced = raw(head(200, {"Content-Type": "application/json"}, length=len(body)) + body)
    async with ScriptedServer(GET.ok(close=True), unannounced, default=GET.ok()) as server:
        client = client_for(server, retries=None)
        await GET(client)
        await GET(client)
        await asyncio.sleep(0.25)
        await GET(client)
    assert [request.connection for request in server.requests] == [1, 2, 3]


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_no_cookies(call: Call, client_for: ClientFor) -> None:
    """What a server wants remembered is not: no cookie is ever sent."""
    cookies = [("Set-Cookie", "session=1; Path=/"), ("Set-Cookie", "edge=2; Domain=localhost")]
    async with ScriptedServer(default=call.ok(headers=cookies)) as server:
        client = client_for(f"{server.url_as('localhost')}/api/v1")
        for _ in range(3):
            await call(client)
    assert [request.header("Cookie") for request in server.requests] == [None] * 3


async def test_max_connections(client_for: ClientFor) -> None:
    """No more requests are under way at once than were allowed, creates included."""
    async with ScriptedServer(default=delay(0.01, CREATE.ok())) as server:
        client = client_for(server, max_connections=3)
        await asyncio.gather(*(CREATE(client, total_timeout=20) for _ in range(12)))
    starts = sorted(request.at for request in server.requests)
    assert all(later - first >= 0.009 for first, later in zip(starts, starts[3:], strict=False))


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "9", None])
def test_max_connections_is_a_count(count: object, client_for: ClientFor) -> None:
    """Anything but a positive integer is refused."""
    with pytest.raises(ConfigurationError, match="max_connections"):
        client_for("http://127.0.0.1:9", max_connections=count)


async def test_callers_connector(client_for: ClientFor) -> None:
    """A caller's connector carries every request, and is not closed with the client."""
    async with (
        ScriptedServer(default=CREATE.ok()) as server,
        aiohttp.TCPConnector(limit=1) as connector,
    ):
        client = client_for(server, connector=connector)
        await CREATE(client)
        await CREATE(client)
        await client.close()
        assert not connector.closed
        await CREATE(client_for(server, connector=connector))
    assert [request.connection for request in server.requests] == [1, 1, 1]


async def test_unix_socket(client_for: ClientFor, tmp_path: object) -> None:
    """A connector may lead anywhere; here it refuses, and that is not ambiguous."""
    async with aiohttp.UnixConnector(f"{tmp_path}/nobody.sock") as connector:
        client = client_for("http://localhost/api/v1", connector=connector, retries=None)
        with pytest.raises(APIConnectionError, match="No such file") as caught:
            await CREATE(client)
    assert not isinstance(caught.value, AmbiguousCreateError)


async def test_address_that_is_none(client_for: ClientFor, clock: FakeClock) -> None:
    """What aiohttp refuses before it connects was not sent: definite, and an error of ours."""
    client = client_for("https://127.1/api/v1", clock=clock)
    with pytest.raises(APIConnectionError, match="cannot connect") as caught:
        await CREATE(client)
    assert not isinstance(caught.value, AmbiguousCreateError)


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("interim", [*INTERIM, b"".join(INTERIM)])
async def test_interim_responses(interim: bytes, call: Call, client_for: ClientFor) -> None:
    """Those before the response are skipped, and the connection goes on."""

    async def step(connection: Connection, request: Request) -> None:
        await connection.write(interim)
        await call.ok()(connection, request)

    async with ScriptedServer(default=step) as server:
        client = client_for(server, retries=None)
        await call(client)
        await call(client)
    expected = [1, 2] if call is CREATE else [1, 1]
    assert [request.connection for request in server.requests] == expected


@pytest.mark.parametrize("call", [GET, CREATE], ids=str)
async def test_switched_protocols(call: Call, client_for: ClientFor) -> None:
    """Nobody asked for it: it is the response, and a create is ambiguous."""
    switch = raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nx")
    async with ScriptedServer(default=switch) as server:
        with pytest.raises(OpenRouterError) as caught:
            await call(client_for(server, retries=None, timeout=2))
    assert caught.value.status_code == 101
    assert isinstance(caught.value, AmbiguousCreateError) == (call is CREATE)
    assert len(server.requests) == 1


async def test_services_and_headers_that_alternate(client_for: ClientFor) -> None:
    """Each call of many at once reaches its own service, with its own headers."""
    async with ScriptedServer(default=GET.ok()) as one, ScriptedServer(default=GET.ok()) as other:
        client = client_for(one)
        titles = [f"title {number}" for number in range(10)]
        await asyncio.gather(
            *(GET(client, x_open_router_title=title) for title in titles),
            *(GET(client, server_url=other.api_url, http_referer=title) for title in titles),
        )
        await GET(client)
    sent = [request.header("X-OpenRouter-Title") for request in one.requests]
    assert sorted(sent[:-1], key=str) == titles
    assert sent[-1] is None
    assert sorted(str(request.header("HTTP-Referer")) for request in other.requests) == titles
    assert {request.header("Host") for request in other.requests} == {f"127.0.0.1:{other.port}"}


@pytest.mark.parametrize("call", [GET, CREATE], ids=str)
@pytest.mark.parametrize("change", ["gone", "another result", "other parameters"])
async def test_aiohttp_that_has_changed(
    change: str, call: Call, client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does not document is tried before the first request; nothing is sent then."""

    async def read(_: ResponseHandler) -> object:
        return object()

    if change == "gone":
        monkeypatch.delattr(ResponseHandler, "set_response_params")
    elif change == "another result":
        monkeypatch.setattr(ResponseHandler, "read", read)
    else:
        monkeypatch.setattr(ResponseHandler, "set_response_params", lambda _: None)
    async with ScriptedServer(default=call.ok()) as server:
        client = client_for(server)
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="does not work with") as caught:
                await call(client)
            assert caught.value.__context__ is None
        monkeypatch.undo()
        await call(client)
    assert len(server.requests) == 1


async def test_nothing_is_left_open(client_for: ClientFor, clock: FakeClock) -> None:
    """Whatever happened to its calls, a closed client leaves no descriptor, task or thread."""
    steps = [GET.ok(), reply(500), reset(), close_before_head(), reply(200, text="no")]
    async with ScriptedServer(*steps * 4, default=GET.ok()) as server:
        with refused_port() as port:
            async with no_leaks():
                client = client_for(server, clock=clock, retries=None)
                calls = [GET(client) for _ in range(20)]
                calls += [LIST(client, server_url=f"http://127.0.0.1:{port}") for _ in range(5)]
                await asyncio.gather(*calls, return_exceptions=True)
                await client.close()
    assert len(server.requests) == 20
