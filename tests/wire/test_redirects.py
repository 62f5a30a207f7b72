"""Redirects: none is followed, so that neither a key nor a body reaches another place."""

import pytest
from support.calls import CALLS, CREATE, DELETE, Call, ClientFor
from support.clock import FakeClock
from support.server import ScriptedServer
from support.steps import redirect, reply

from openrouter_async import AmbiguousCreateError, NotFoundResponseError, UnexpectedRedirectError

STATUSES = (301, 302, 303, 307, 308)


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("status", STATUSES)
async def test_not_followed_to_another_host(
    status: int, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """Fault 13: one request; the other host hears nothing, neither header nor body."""
    async with ScriptedServer() as elsewhere:
        there = f"{elsewhere.url_as('localhost')}/api/v1{call.target}"
        async with ScriptedServer(default=redirect(status, there)) as server:
            with pytest.raises(UnexpectedRedirectError) as caught:
                await call(client_for(server, clock=clock))
    assert len(server.requests) == 1
    assert elsewhere.connections == 0
    assert not isinstance(caught.value, AmbiguousCreateError)
    assert caught.value.status_code == status
    assert caught.value.headers is not None
    assert caught.value.headers["location"] == there


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("location", ["/elsewhere", "/api/v1/keys", "//127.0.0.1/", "http://["])
async def test_not_followed_on_the_same_host(
    location: str, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """Fault 13: one request, where the redirect leads to itself too."""
    async with ScriptedServer(default=redirect(307, location)) as server:
        with pytest.raises(UnexpectedRedirectError):
            await call(client_for(server, clock=clock))
    assert len(server.requests) == 1


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("status", STATUSES)
async def test_without_a_location(
    status: int, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """Fault 13: one request; a create is ambiguous, since this is no plain redirect."""
    async with ScriptedServer(default=redirect(status, None)) as server:
        with pytest.raises(UnexpectedRedirectError) as caught:
            await call(client_for(server, clock=clock))
    assert len(server.requests) == 1
    assert isinstance(caught.value, AmbiguousCreateError) == (call is CREATE)


async def test_after_a_lost_answer(client_for: ClientFor, clock: FakeClock) -> None:
    """A redirect ends the call after a retry, too."""
    async with ScriptedServer(reply(503), redirect(302, "/x"), default=reply(404)) as server:
        with pytest.raises(UnexpectedRedirectError) as caught:
            await DELETE(client_for(server, clock=clock))
        assert caught.value.attempts == len(server.requests) == 2
        with pytest.raises(NotFoundResponseError):
            await DELETE(client_for(server, clock=clock))
