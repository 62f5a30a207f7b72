"""Faults 1 and 2, and what can be known afterwards: candidates, neither adopted nor deleted."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from support.calls import ClientFor, pages_of, record
from support.clock import FakeClock
from support.server import ScriptedServer

from openrouter_async import AmbiguousCreateError, AsyncOpenRouter, ConfigurationError
from openrouter_async.sandbox import Sandbox

BEGUN = datetime(2026, 8, 1, 12, tzinfo=UTC)


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    """A sandbox of one's own."""
    async with Sandbox(keys=250) as box:
        yield box


@pytest.fixture
def client(box: Sandbox, client_for: ClientFor, clock: FakeClock) -> AsyncOpenRouter:
    """A client of it that waits in no time."""
    return client_for(box.url, api_key=box.management_key, clock=clock)


async def ambiguous(
    client: AsyncOpenRouter, name: str = "acme", **parameters: str
) -> AmbiguousCreateError:
    """Create a key and get the error."""
    with pytest.raises(AmbiguousCreateError) as caught:
        await client.api_keys.create(name, **parameters)
    return caught.value


@pytest.mark.parametrize("fault", [{"status": 500}, {"reset": True}, {"html": True, "status": 502}])
async def test_the_key_that_was_made(
    box: Sandbox, client: AsyncOpenRouter, clock: FakeClock, fault: dict[str, object]
) -> None:
    """Fault 1: one key is found, at once, and is left as it is."""
    box.fail("create", after_effect=True, **fault)  # type: ignore[arg-type]
    error = await ambiguous(client)
    [found] = await client.api_keys.find_candidates(error)
    assert [key for key in box.keys if key.name == "acme"] == [found]
    assert clock.sleeps == []
    changing = {"create", "update", "delete"}
    assert [r.operation for r in box.requests if r.operation in changing] == ["create"]


async def test_disabled_and_in_another_workspace(box: Sandbox, client: AsyncOpenRouter) -> None:
    """A key that somebody disabled meanwhile is found too; other workspaces are not searched."""
    space = box.workspaces[2].id
    await client.api_keys.create("acme")
    box.fail("create", after_effect=True, status=500)
    error = await ambiguous(client, workspace_id=space)
    [made] = [key for key in box.keys if key.name == "acme" and key.workspace_id == space]
    await client.api_keys.update(made.hash, disabled=True)
    assert [key.hash for key in await client.api_keys.find_candidates(error)] == [made.hash]


async def test_nothing_was_made(box: Sandbox, client: AsyncOpenRouter, clock: FakeClock) -> None:
    """It looks for as long as was asked, with growing waits, and gives an empty list."""
    box.fail("create", status=500)
    error = await ambiguous(client)
    assert await client.api_keys.find_candidates(error, within=20) == []
    assert clock.sleeps[:5] == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert sum(clock.sleeps) == pytest.approx(20, abs=0.5)
    clock.sleeps.clear()
    assert await client.api_keys.find_candidates(error, within=0) == []
    assert clock.sleeps == []


@pytest.mark.parametrize("within", [-1, float("nan"), float("inf"), True, "60"])
async def test_times_that_are_none(client: AsyncOpenRouter, within: float) -> None:
    """They are refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="within"):
        await client.api_keys.find_candidates(AmbiguousCreateError("x"), within=within)


@pytest.mark.parametrize(
    ("minutes", "found"), [(-5.1, False), (-4.9, True), (0, True), (5.9, True), (6.1, False)]
)
async def test_clocks_that_differ(
    client_for: ClientFor, clock: FakeClock, minutes: float, *, found: bool
) -> None:
    """Five minutes on both sides of the minute in which it was asked for."""
    moment = (BEGUN + timedelta(minutes=minutes)).isoformat()
    error = AmbiguousCreateError(
        "x", name="acme", not_before=BEGUN, not_after=BEGUN + timedelta(minutes=1)
    )
    rows = [record(created_at=moment), record(hash="b" * 64, name="other", created_at=moment)]
    async with ScriptedServer(handler=pages_of(rows)) as server:
        keys = client_for(server, clock=clock).api_keys
        assert bool(await keys.find_candidates(error, within=0)) == found
    assert "include_disabled=true" in server.requests[0].target
    assert "include_expired=true" in server.requests[0].target


async def test_a_hash_that_was_seen_decides(client_for: ClientFor, clock: FakeClock) -> None:
    """Then neither name nor time counts."""
    error = AmbiguousCreateError("x", name="acme", not_before=BEGUN, not_after=BEGUN, hash="b" * 64)
    moment = BEGUN.isoformat()
    rows = [record(created_at=moment), record(hash="b" * 64, created_at=moment)]
    async with ScriptedServer(handler=pages_of(rows)) as server:
        keys = client_for(server, clock=clock).api_keys
        assert [k.hash for k in await keys.find_candidates(error)] == ["b" * 64]


@pytest.mark.parametrize("page_size", [50, 100])
async def test_beyond_the_first_page(
    client_for: ClientFor, clock: FakeClock, page_size: int
) -> None:
    """It reads back to the time before the create, over records that cannot be read, no farther."""
    now, old = BEGUN.isoformat(), (BEGUN - timedelta(hours=1)).isoformat()
    rows = [
        {"odd": 1},
        *(record(hash=f"{n:064x}", name="n", created_at=now) for n in range(page_size)),
        record(hash="c" * 64, created_at=now),
        *(record(hash=f"{n:064x}", created_at=old) for n in range(200, 500)),
    ]
    error = AmbiguousCreateError("x", name="acme", not_before=BEGUN, not_after=BEGUN)
    async with ScriptedServer(handler=pages_of(rows, page_size)) as server:
        keys = client_for(server, clock=clock).api_keys
        assert [k.hash for k in await keys.find_candidates(error)] == ["c" * 64]
    assert [r.target.split("offset=")[1].split("&")[0] for r in server.requests] == [
        "0",
        str(page_size - 5),
    ]
