"""A proxy's password goes to the proxy, and shows nowhere else."""

import asyncio
import base64
from contextlib import suppress
from typing import Any

import pytest
from support import certificates
from support.calls import GET, ClientFor
from support.ports import refused_port
from support.secrets import assert_not_leaked, capture_logs, tracebacks_with_locals
from support.server import ScriptedServer
from support.steps import Step, raw, reply, reset, stall_head

from openrouter_async import ConfigurationError, OpenRouterError

PASSWORD = "correct-horse-battery-staple"  # as the test of leaks needs it: long
LOGIN = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
HERE = {__file__}
PLAIN, TUNNELLED = "http://service.example/api/v1", "https://service.example/api/v1"
FAILURES: list[Step] = [reset(), raw(b"nonsense\r\n\r\n"), reply(407), reply(502), stall_head()]


def proxied(client_for: ClientFor, url: str, proxy: str, *, by: str, patch: Any) -> Any:
    """Make a client that uses a proxy, by its own setting or the environment's."""
    given: dict[str, Any] = {"proxy": proxy}
    if by == "environment":
        patch.setenv("http_proxy", proxy)
        patch.setenv("https_proxy", proxy)
        given = {"trust_env": True}
    options = {"allow_insecure_http": True, "retries": None, "timeout": 0.3}
    return client_for(url, **options, **given)


def hunt(error: BaseException, client: Any, logs: Any) -> None:
    """Search what can come out."""
    told = tracebacks_with_locals(error, without_locals_of=HERE)
    texts = [told, repr(vars(client)), repr(vars(client._shared.transport)), logs.text]
    assert_not_leaked(PASSWORD, *texts)
    assert_not_leaked(LOGIN, *texts)


@pytest.mark.parametrize("by", ["setting", "environment"])
@pytest.mark.parametrize("url", [PLAIN, TUNNELLED])
@pytest.mark.parametrize("step", FAILURES, ids=lambda step: step.__name__)
async def test_in_failures(
    step: Step, url: str, by: str, client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy is told who we are, for plain requests and for tunnels; nobody else hears of it."""
    async with ScriptedServer(default=step) as server:
        proxy = f"http://me:{PASSWORD}@127.0.0.1:{server.port}"
        client = proxied(client_for, url, proxy, by=by, patch=monkeypatch)
        with capture_logs() as logs:
            with pytest.raises(OpenRouterError) as caught:
                await GET(client)
            hunt(caught.value, client, logs)
    assert server.requests[0].header("Proxy-Authorization") == f"Basic {LOGIN}"
    assert (server.requests[0].method == "CONNECT") == (url == TUNNELLED)


@pytest.mark.parametrize("by", ["setting", "environment"])
@pytest.mark.parametrize("url", [PLAIN, TUNNELLED])
async def test_in_a_cancellation(
    url: str, by: str, client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its traceback leads through all of aiohttp's frames."""
    async with ScriptedServer(default=stall_head()) as server:
        proxy = f"http://me:{PASSWORD}@127.0.0.1:{server.port}"
        client = proxied(client_for, url, proxy, by=by, patch=monkeypatch)
        with capture_logs() as logs:
            task = asyncio.ensure_future(GET(client, timeout=9))
            await server.arrived(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            hunt(caught.value, client, logs)


async def test_in_a_refusal(client_for: ClientFor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there."""
    with refused_port() as port:
        proxy = f"http://me:{PASSWORD}@127.0.0.1:{port}"
        client = proxied(client_for, TUNNELLED, proxy, by="setting", patch=monkeypatch)
        with capture_logs() as logs:
            with pytest.raises(OpenRouterError, match="cannot connect to the proxy") as caught:
                await GET(client)
            hunt(caught.value, client, logs)


async def test_it_is_not_for_the_service(client_for: ClientFor) -> None:
    """Inside the tunnel only the client's own headers are sent; calls share the tunnel."""
    heads: list[bytes] = []

    async def relay(inwards: asyncio.StreamReader, outwards: asyncio.StreamWriter) -> None:
        heads.append(await inwards.readuntil(b"\r\n\r\n"))
        outwards.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(copy(inwards, writer), copy(reader, outwards))

    async with (
        ScriptedServer(default=GET.ok(), tls=certificates.good_server()) as server,
        await asyncio.start_server(relay, "127.0.0.1", 0) as proxy,
    ):
        port = proxy.sockets[0].getsockname()[1]
        client = client_for(
            server.api_url,
            ssl=certificates.trusting_client(),
            proxy=f"http://me:{PASSWORD}@127.0.0.1:{port}",
        )
        await GET(client)
        await GET(client)
        await client.close()
    assert [f"Proxy-Authorization: Basic {LOGIN}".encode() in head for head in heads] == [True]
    assert [request.header("Proxy-Authorization") for request in server.requests] == [None, None]


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on what comes, to its end."""
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@pytest.mark.parametrize("proxy", ["http://[::1", "http://me:word@host:notaport"])
def test_an_address_that_is_none(proxy: str, client_for: ClientFor) -> None:
    """It is refused at once, without a word of it."""
    with pytest.raises(ConfigurationError, match=r"^proxy must ") as caught:
        client_for(PLAIN, proxy=proxy, allow_insecure_http=True)
    assert caught.value.__context__ is None
