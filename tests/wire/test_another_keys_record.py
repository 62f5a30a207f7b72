"""An answer about another key than the one that was asked for is never believed."""

from typing import Any

import pytest
from support.calls import GET, HASH, UPDATE, Call, ClientFor, record
from support.server import ScriptedServer
from support.steps import reply

from openrouter_async import ResponseValidationError
from openrouter_async.bulk import Status

OTHER = "0" * 64
ROADS: dict[str, dict[str, Any]] = {
    "fast": {},
    "careful": {"created_at": "2026-07-01T11:30:00+02:00"},
}
"""Only the careful road reads another zone than UTC."""


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("call", [GET, UPDATE], ids=str)
async def test_single_call(call: Call, road: str, client_for: ClientFor) -> None:
    """It is an answer that cannot be read, after one request; the right one is read."""
    right, wrong = (record(hash=hash, **ROADS[road]) for hash in (HASH, OTHER))
    async with ScriptedServer(
        reply(json={"data": wrong}), reply(json={"data": right}), reply(json={"data": wrong})
    ) as server:
        client = client_for(server)
        with pytest.raises(
            ResponseValidationError, match=r"response\.data\.hash: not the one"
        ) as no:
            await call(client)
        assert (await call(client)).data.hash == HASH
    assert OTHER not in str(no.value)
    assert no.value.attempts == 1
    assert len(server.requests) == 2


async def test_get_many(client_for: ClientFor) -> None:
    """The key is told as not read, and the record of the other one appears nowhere."""
    async with ScriptedServer(default=reply(json={"data": record(hash=OTHER)})) as server:
        looked_up = await client_for(server).api_keys.get_many([HASH, OTHER])
    assert [(each.hash, each.key is None) for each in looked_up] == [(HASH, True), (OTHER, False)]
    assert isinstance(looked_up[0].error, ResponseValidationError)


async def test_changes_of_many(client_for: ClientFor) -> None:
    """A change whose answer is about another key may have been made, and may not."""
    async with ScriptedServer(
        default=reply(json={"data": record(hash=OTHER, disabled=True)})
    ) as server:
        keys = client_for(server).api_keys
        outcomes = [
            *await keys.update_many([{"hash": HASH, "limit": 5}, {"hash": OTHER, "limit": 5}]),
            *await keys.disable_many([HASH, OTHER]),
        ]
    assert [each.status for each in outcomes] == [Status.AMBIGUOUS, Status.OK] * 2
    assert [each.hash for each in outcomes] == [HASH, OTHER] * 2
    assert [each.key is None for each in outcomes] == [True, False] * 2
    assert [request.method for request in server.requests] == ["PATCH"] * 4
