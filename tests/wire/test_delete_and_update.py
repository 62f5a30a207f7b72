"""Deletes and updates whose answers are lost: the work is done once, whatever it takes."""

import pytest
from support.calls import DELETE, GET, HASH, UPDATE, ClientFor, problem, record
from support.clock import FakeClock
from support.server import ScriptedServer
from support.steps import Step, close_before_head, reply, reset

from openrouter_async import (
    APIConnectionError,
    NotFoundResponseError,
    OpenRouterDefaultError,
    RetryConfig,
)

GONE = reply(404, json=problem(404, "API key not found"))


async def test_delete_done_and_answer_lost(client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 7: the key is gone and the answer lost: a success, and as many requests as we count."""
    told: list[object] = []
    async with ScriptedServer(reset(), default=GONE) as server:
        client = client_for(server, clock=clock, on_attempt=lambda *facts: told.append(facts[2]))
        deleted = await client.api_keys.delete(HASH)
    assert (deleted.deleted, deleted.already_gone) == (True, True)
    assert len(server.requests) == 2
    assert told == [APIConnectionError, 404]


async def test_delete_whose_answers_are_all_lost(client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 7: exactly three requests, none that aiohttp added."""
    async with ScriptedServer(default=close_before_head()) as server:
        with pytest.raises(APIConnectionError, match="was lost") as caught:
            await DELETE(client_for(server, clock=clock))
    assert len(server.requests) == caught.value.attempts == 3


async def test_delete_of_what_is_not_there(client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 8: a first answer of 404 is the truth."""
    async with ScriptedServer(default=GONE) as server:
        with pytest.raises(NotFoundResponseError, match="API key not found") as caught:
            await DELETE(client_for(server, clock=clock))
    assert len(server.requests) == caught.value.attempts == 1


NOT_DONE: list[Step] = [reply(429), reply(429, headers={"Retry-After": "1"})]


@pytest.mark.parametrize("before", NOT_DONE, ids=lambda step: step.__name__)
async def test_404_after_what_was_never_run(
    before: Step, client_for: ClientFor, clock: FakeClock
) -> None:
    """Fault 8: a throttled attempt did nothing, so that a 404 after it is no success."""
    async with ScriptedServer(before, GONE) as server:
        with pytest.raises(NotFoundResponseError) as caught:
            await DELETE(client_for(server, clock=clock))
    assert len(server.requests) == caught.value.attempts == 2


async def test_404_long_after_a_lost_answer(client_for: ClientFor, clock: FakeClock) -> None:
    """Any earlier attempt counts, not only the last one."""
    policy = RetryConfig(max_attempts=4)
    async with ScriptedServer(reset(), reply(429), reply(429), GONE) as server:
        deleted = await DELETE(client_for(server, clock=clock, retries=policy))
    assert deleted.already_gone
    assert len(server.requests) == 4


async def test_delete_without_doubt(client_for: ClientFor, clock: FakeClock) -> None:
    """A repeated delete that finds the key still there did the work itself."""
    async with ScriptedServer(reset(), DELETE.ok()) as server:
        deleted = await DELETE(client_for(server, clock=clock))
    assert (deleted.deleted, deleted.already_gone) == (True, False)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "step", [reply(200, json={}), reply(204), reply(200), reply(202, json={"deleted": True})]
)
async def test_delete_answered_with_little(step: Step, client_for: ClientFor) -> None:
    """An empty answer to a delete says no less than `{"deleted": true}`."""
    async with ScriptedServer(step) as server:
        deleted = await DELETE(client_for(server))
    assert (deleted.deleted, deleted.already_gone) == (True, False)
    assert len(server.requests) == 1


async def test_update_through_an_outage(client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 9: 503 twice, then 200: three requests with the same bytes."""
    script = [reply(503), reply(503), reply(json={"data": record(limit=None, name="Ünï")})]
    async with ScriptedServer(*script) as server:
        updated = await client_for(server, clock=clock).api_keys.update(
            HASH, name="Ünï", limit=None, disabled=False
        )
    assert updated.data.limit is None
    assert {(r.head, r.body) for r in server.requests} == {
        (server.requests[0].head, '{"name":"Ünï","disabled":false,"limit":null}'.encode())
    }
    assert len(server.requests) == 3
    assert clock.sleeps == [0.5, 1.0]


async def test_update_and_get_do_not_take_404_for_success(
    client_for: ClientFor, clock: FakeClock
) -> None:
    """A key that vanishes while it is updated is an error that names the attempts."""
    for call in (UPDATE, GET):
        async with ScriptedServer(reply(503), GONE) as server:
            with pytest.raises(NotFoundResponseError) as caught:
                await call(client_for(server, clock=clock))
        assert caught.value.attempts == 2


async def test_delete_during_an_outage(client_for: ClientFor, clock: FakeClock) -> None:
    """A delete that is never answered fails with the last answer."""
    async with ScriptedServer(default=reply(504)) as server:
        with pytest.raises(OpenRouterDefaultError) as caught:
            await DELETE(client_for(server, clock=clock))
    assert caught.value.status_code == 504
    assert len(server.requests) == 3
