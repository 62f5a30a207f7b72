"""TLS that cannot be trusted, or is none: one attempt, a clear error, nothing sent."""

import ssl
from collections.abc import Callable

import pytest
from support import certificates
from support.calls import CALLS, CREATE, GET, Call, ClientFor
from support.clock import FakeClock
from support.server import ScriptedServer

from openrouter_async import AmbiguousCreateError, APIConnectionError, RetryConfig

FIVE = RetryConfig(max_attempts=5)
WRONG: dict[str, tuple[Callable[[], ssl.SSLContext | None], str]] = {
    "self-signed": (certificates.self_signed_server, "self.signed certificate"),
    "expired": (certificates.expired_server, "certificate has expired"),
    "wrong name": (certificates.wrong_name_server, "IP address mismatch|not valid for"),
    "plain port": (lambda: None, "no trusted TLS connection"),
}


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("case", WRONG)
async def test_untrusted(case: str, call: Call, client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 14: one attempt, however many are allowed; a create that was not sent is definite."""
    context, words = WRONG[case]
    trusting = certificates.trusting_client()
    async with ScriptedServer(tls=context()) as server:
        url = f"https://127.0.0.1:{server.port}/api/v1"
        client = client_for(url, ssl=trusting, clock=clock, retries=FIVE)
        with pytest.raises(APIConnectionError, match=words) as caught:
            await call(client)
    error = caught.value
    assert (error.attempts, server.connections, len(server.requests)) == (1, 1, 0)
    assert not isinstance(error, AmbiguousCreateError)
    assert clock.sleeps == []
    assert f"no trusted TLS connection to 127.0.0.1:{server.port}" in str(error)


async def test_wrong_name_by_name(client_for: ClientFor) -> None:
    """Fault 14: the host's name is checked, too."""
    async with ScriptedServer(tls=certificates.wrong_name_server()) as server:
        url = f"{server.url_as('localhost')}/api/v1"
        client = client_for(url, ssl=certificates.trusting_client())
        with pytest.raises(APIConnectionError, match="Hostname mismatch"):
            await GET(client)
    assert server.requests == []


async def test_system_certificates_by_default(client_for: ClientFor) -> None:
    """Without a context of the caller's, a private authority is not trusted."""
    async with ScriptedServer(tls=certificates.good_server()) as server:
        with pytest.raises(APIConnectionError, match="certificate"):
            await GET(client_for(server))
    assert server.requests == []


async def test_callers_context(client_for: ClientFor) -> None:
    """With a context that trusts the authority, reads reuse a connection and creates do not."""
    async with ScriptedServer(
        GET.ok(), GET.ok(), CREATE.ok(), CREATE.ok(), tls=certificates.good_server()
    ) as server:
        client = client_for(server, ssl=certificates.trusting_client())
        for call in (GET, GET, CREATE, CREATE):
            await call(client)
    assert [request.connection for request in server.requests] == [1, 1, 2, 3]


async def test_plain_client_of_a_tls_port(client_for: ClientFor, clock: FakeClock) -> None:
    """The reverse of a plain port for https: what comes back is no HTTP, and a create ambiguous."""
    async with ScriptedServer(tls=certificates.good_server()) as server:
        client = client_for(f"http://127.0.0.1:{server.port}/api/v1", clock=clock)
        with pytest.raises(APIConnectionError):
            await GET(client)
        with pytest.raises(AmbiguousCreateError):
            await CREATE(client)
    assert server.requests == []
