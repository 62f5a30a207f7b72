"""Proxies: given or from the environment; and credentials from the environment, which are not."""

from pathlib import Path

import pytest
from support.calls import CALLS, CREATE, GET, KEY, Call, ClientFor
from support.clock import FakeClock
from support.server import ScriptedServer
from support.steps import html, reply, reset

from openrouter_async import AmbiguousCreateError, ConfigurationError, OpenRouterDefaultError

SERVICE = "http://service.example/api/v1"


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_plain_requests_go_through(call: Call, client_for: ClientFor) -> None:
    """The proxy gets the whole URL, and the same headers and body as the service would."""
    async with ScriptedServer(default=call.ok()) as proxy:
        client = client_for(SERVICE, proxy=proxy.url, allow_insecure_http=True)
        await call(client)
    sent = proxy.requests[0]
    assert (sent.method, sent.target) == (call.method, f"{SERVICE}{call.target}")
    assert (sent.header("Host"), sent.header("Authorization")) == (
        "service.example",
        f"Bearer {KEY}",
    )
    assert sent.body == call.body


async def test_credentials_of_the_proxy(client_for: ClientFor) -> None:
    """User and password in the proxy's URL are for the proxy, and replace nothing of ours."""
    async with ScriptedServer(default=GET.ok()) as proxy:
        url = f"http://me:word@127.0.0.1:{proxy.port}"
        await GET(client_for(SERVICE, proxy=url, allow_insecure_http=True))
    assert proxy.requests[0].header("Proxy-Authorization") == "Basic bWU6d29yZA=="
    assert proxy.requests[0].header("Authorization") == f"Bearer {KEY}"


async def test_the_proxys_own_failures(client_for: ClientFor, clock: FakeClock) -> None:
    """A plain proxy may have passed the request on, so that its failures count as the service's."""
    async with ScriptedServer(html(502), GET.ok(), default=html(504)) as proxy:
        client = client_for(SERVICE, proxy=proxy.url, allow_insecure_http=True, clock=clock)
        await GET(client)
        with pytest.raises(OpenRouterDefaultError) as caught:
            await CREATE(client)
    assert isinstance(caught.value, AmbiguousCreateError)
    assert len(proxy.requests) == 3


async def test_lost_on_the_way(client_for: ClientFor, clock: FakeClock) -> None:
    """A create that the proxy took and lost is ambiguous."""
    async with ScriptedServer(default=reset()) as proxy:
        client = client_for(SERVICE, proxy=proxy.url, allow_insecure_http=True, clock=clock)
        with pytest.raises(AmbiguousCreateError):
            await CREATE(client)
    assert len(proxy.requests) == 1


async def test_environment_is_not_asked(
    client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies of the environment are used only on request."""
    async with ScriptedServer() as proxy, ScriptedServer(default=GET.ok()) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        await GET(client_for(server))
    assert proxy.connections == 0


async def test_environment_on_request(
    client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `trust_env=True` a proxy of the environment is used."""
    async with ScriptedServer(default=GET.ok()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        await GET(client_for(SERVICE, trust_env=True, allow_insecure_http=True))
    assert proxy.requests[0].target == f"{SERVICE}{GET.target}"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("http_proxy", "socks5://me:gi3xq-word@127.0.0.1:1080"),
        ("http_proxy", "127.0.0.1:3128"),
        ("http_proxy", "http://"),
        ("all_proxy", "socks5h://127.0.0.1:1080"),
    ],
)
async def test_environment_that_cannot_be_used(
    variable: str, value: str, client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error that names the variable; the request does not go out past the proxy."""
    monkeypatch.setenv(variable, value)
    async with ScriptedServer(default=GET.ok()) as server:
        with pytest.raises(ConfigurationError, match=f"^{variable.upper()} must ") as caught:
            await GET(client_for(server, trust_env=True))
    assert server.connections == 0
    assert "gi3xq" not in str(caught.value)
    assert caught.value.__context__ is None


async def test_environment_of_all_schemes(
    client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ALL_PROXY` is used where nothing stands for the scheme, with its login."""
    async with ScriptedServer(default=GET.ok()) as proxy:
        monkeypatch.setenv("all_proxy", f"http://me:word@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1080")  # nobody's for http
        await GET(client_for(SERVICE, trust_env=True, allow_insecure_http=True))
    assert proxy.requests[0].target == f"{SERVICE}{GET.target}"
    assert proxy.requests[0].header("Proxy-Authorization") == "Basic bWU6d29yZA=="


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:9"])
async def test_no_proxy_and_own_proxy_win(
    proxy: str | None, client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host in `NO_PROXY` is reached directly; `proxy=` wins over the environment."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9" if proxy is None else "socks5://x")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with ScriptedServer(default=GET.ok()) as server:
        await GET(client_for(server, trust_env=True, proxy=proxy and server.url))
    assert len(server.requests) == 1


async def test_netrc_never_replaces_the_key(
    client_for: ClientFor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A login for the host that stands in ~/.netrc does not become the Authorization header."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password word\n", "utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with ScriptedServer(GET.ok(), default=reply(401)) as server:
        await GET(client_for(server, trust_env=True))
    assert server.requests[0].values("Authorization") == [f"Bearer {KEY}"]
