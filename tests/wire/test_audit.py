import asyncio
import json
from datetime import UTC, datetime

import pytest
from support.calls import ClientFor
from support.leaks import no_leaks

from openrouter_async import (
    ForbiddenResponseError,
    InvalidRequestError,
    OpenRouter,
    UnauthorizedResponseError,
)
from openrouter_async.audit import AuditProgress, AuditReport, AuditRun, Totals, compare
from openrouter_async.sandbox import Sandbox

NOON = datetime(2026, 8, 19, 12, tzinfo=UTC)


def box_of(keys: int = 250) -> Sandbox:
    """A sandbox whose day is always the same."""
    return Sandbox(keys=keys, now=lambda: NOON)


async def test_a_whole_account(client_for: ClientFor) -> None:
    """Every key of every workspace, as the sandbox has them."""
    async with box_of() as box:
        client = client_for(box.url, api_key=box.management_key)
        report = await client.audit(now=NOON)
        assert {key.hash: key for key in report.keys} == {key.hash: key for key in box.keys}
        assert len(report.keys) == 251
        assert report.totals.to_dict() == Totals.of(box.keys, NOON).to_dict()
        assert report.workspaces == {space.id: space.name for space in box.workspaces}
        assert report.complete
        assert report.by is not None
        assert report.by.startswith("sk-or-v1-")
        assert box.management_key not in json.dumps(report.to_dict())
        assert report.requests == len(box.requests)
        assert {"no-limit", "near-limit", "exhausted", "overspent", "disabled", "expired"} <= set(
            report.counts
        )


async def test_a_big_account(client_for: ClientFor) -> None:
    """Ten thousand keys."""
    async with box_of(10_000) as box:
        client = client_for(box.url, api_key=box.management_key)
        report = await client.audit(now=NOON)
        assert len(report.keys) == len({key.hash for key in report.keys}) == 10_001
        assert report.complete


def test_the_blocking_audit() -> None:
    """The same report; the progress is told in the client's thread."""
    told: list[AuditProgress] = []
    with box_of() as box, OpenRouter(box.management_key, server_url=box.url) as client:
        report = client.audit(now=NOON, progress=told.append, concurrency=4)
        assert report.totals.keys == told[-1].keys == 251
        assert isinstance(report, AuditReport)
        production = client.audit(now=NOON, workspaces=["Production", "staging"])
        assert set(production.workspaces.values()) == {"Production", "Staging"}
        with pytest.raises(InvalidRequestError, match="there is no workspace 'Nowhere'"):
            client.audit(workspaces=["Nowhere"])


@pytest.mark.parametrize("status", [403, 404])
async def test_hidden_workspaces(client_for: ClientFor, status: int) -> None:
    """The default one is audited, and the report says so."""
    async with box_of() as box:
        client = client_for(box.url, api_key=box.management_key)
        box.fail("list_workspaces", status=status)
        report = await client.audit(now=NOON)
        assert not report.complete
        assert report.findings[0].rule == "workspaces-hidden"
        assert str(status) in report.findings[0].sentence
        home = box.workspaces[0].id
        assert {key.workspace_id for key in report.keys} == {home}


async def test_one_failing_workspace(client_for: ClientFor) -> None:
    """Its error is in the report, with what to quote to support; the others are there."""
    async with box_of() as box:
        client = client_for(box.url, api_key=box.management_key, retries=None)
        box.fail("list", status=500)
        report = await client.audit(now=NOON, concurrency=1, workspaces=["production", "staging"])
        assert [error.workspace for error in report.errors] == ["Production"]
        assert report.errors[0].status_code == 500
        assert set(report.by_workspace) == {space.id for space in box.workspaces[1:3]}
        assert {key.workspace_id for key in report.keys} == {box.workspaces[2].id}


async def test_an_inference_key(client_for: ClientFor) -> None:
    """It may see nothing, which is an error and no empty report."""
    async with box_of() as box:
        usable = next(key for key in box.keys if key.is_active(NOON))
        client = client_for(box.url, api_key=box.inference_key(usable.hash))
        with pytest.raises(ForbiddenResponseError):
            await client.audit(now=NOON)


async def test_a_wrong_key(client_for: ClientFor) -> None:
    """It is told as always."""
    async with box_of() as box:
        with pytest.raises(UnauthorizedResponseError):
            await client_for(box.url).audit()


async def test_throttled_for_a_moment(client_for: ClientFor) -> None:
    """A 429 pauses all, and nothing is missed."""
    async with box_of() as box:
        client = client_for(box.url, api_key=box.management_key)
        box.fail("list", status=429, retry_after="0.05", times=2)
        report = await client.audit(now=NOON)
        assert (report.complete, len(report.keys)) == (True, 251)


async def test_a_rate(client_for: ClientFor) -> None:
    """Requests are spread evenly: nine of them take eight intervals at least."""
    async with box_of() as box:
        client = client_for(box.url, api_key=box.management_key)
        loop = asyncio.get_running_loop()
        began = loop.time()
        report = await client.audit(now=NOON, rate=100)
        assert loop.time() - began >= (report.requests - 1) / 100 - 0.01
        assert report.complete


async def test_changes_between_two_audits(client_for: ClientFor) -> None:
    """What was done meanwhile is what the comparison says."""
    async with box_of() as box:
        client = client_for(box.url, api_key=box.management_key)
        before = await client.audit(now=NOON)
        changed, deleted, spent = (key for key in before.keys[:3])
        await client.api_keys.update(changed.hash, name="renamed", limit=None)
        await client.api_keys.delete(deleted.hash)
        box.spend(spent.hash, 2.5)
        created = (await client.api_keys.create("new")).data
        change = compare(before, await client.audit(now=NOON))
        assert [key.hash for key in change.created] == [created.hash]
        assert [key.hash for key in change.deleted] == [deleted.hash]
        assert [each.new for each in change.renamed] == ["renamed"]
        assert [(each.field, each.new) for each in change.limits] == [("limit", None)]
        assert [(each.hash, each.usage) for each in change.spend] == [(spent.hash, 2.5)]
        assert change.usage == 2.5


async def test_streaming(client_for: ClientFor) -> None:
    """Keys as they come."""
    async with box_of(1000) as box:
        client = client_for(box.url, api_key=box.management_key)
        run = AuditRun(client, now=NOON, keep=False)
        hashes = {key.hash async for key in run}
        assert hashes == {key.hash for key in box.keys}
        assert run.report().totals.to_dict() == Totals.of(box.keys, NOON).to_dict()


async def test_cancelling_leaves_nothing(client_for: ClientFor) -> None:
    """No task, no connection; what was read is in the partial report."""
    async with box_of(5000) as box:
        client = client_for(box.url, api_key=box.management_key)
        async with no_leaks():
            run = AuditRun(client, now=NOON)
            task = asyncio.create_task(run.finish())
            while not run.report().keys:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await client.close()
        report = run.report()
        assert report.partial
        assert 0 < len(report.keys) <= 5001
