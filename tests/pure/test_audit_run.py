import asyncio
import gc
import json
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import attrs
import pytest
from support.leaks import running_tasks
from support.listing import SAMPLE, Account

from openrouter_async import (
    OMITTED,
    APIConnectionError,
    APIKey,
    ClientClosedError,
    ConfigurationError,
    ForbiddenResponseError,
    InternalServerResponseError,
    InvalidRequestError,
    NotFoundResponseError,
    OpenRouterError,
    ResponseValidationError,
    UnauthorizedResponseError,
)
from openrouter_async.audit import AuditProgress, AuditReport, AuditRun, Policy, Remark, rule
from openrouter_async.models import ListWorkspacesResponse

NOW = datetime(2026, 8, 19, tzinfo=UTC)


async def audited(account: Account, **settings: Any) -> AuditReport:
    """Audit to the end; nothing stays behind."""
    report = await AuditRun(account, now=NOW, **settings).finish()
    assert not running_tasks()
    assert account.under_way == 0
    return report


def rules_of(report: AuditReport) -> set[str]:
    """The rules that have findings."""
    return set(report.counts)


async def test_every_key_of_every_workspace() -> None:
    """By workspace, each newest first, and each key once."""
    account = Account(one=250, two=0, three=1000, four=7)
    report = await audited(account)
    expected = [key.hash for keys in account.lists.values() for key in keys.rows]
    assert [key.hash for key in report.keys] == expected
    assert report.totals.keys == 1257
    assert {space: totals.keys for space, totals in report.by_workspace.items()} == {
        "one": 250, "two": 0, "three": 1000, "four": 7
    }  # fmt: skip
    assert report.workspaces == {"one": "One", "two": "Two", "three": "Three", "four": "Four"}
    assert (report.complete, report.partial, report.errors, report.refetched) == (
        True,
        False,
        [],
        0,
    )
    assert report.by == "sk-or-v1-5e5...e5e"
    assert report.pages == 4 + 1 + 12 + 2  # one more each proves the end, but of the empty one
    assert report.requests == len(account.calls)
    assert report.scope == "all"
    assert report.now == NOW
    assert report.started <= report.finished


async def test_disabled_and_expired_keys_are_asked_for() -> None:
    """Or an audit would not see them."""
    account = Account(one=10, two=10)
    await audited(account)
    lists = [given for name, given in account.calls if name == "list"]
    assert lists
    assert all(given.include_disabled and given.include_expired for given in lists)


async def test_the_default_workspace_is_not_walked_twice() -> None:
    """Its walk begins before anybody knows its name."""
    account = Account(one=10, two=10)
    await audited(account)
    asked = [given.workspace_id for name, given in account.calls if name == "list"]
    assert Counter(asked) == {OMITTED: 2, "two": 2}


async def test_an_empty_default_workspace() -> None:
    """No key says its name, so all are walked by their ids."""
    report = await audited(Account(one=0, two=10))
    assert report.totals.keys == 10
    assert report.complete
    assert list(report.by_workspace) == ["one", "two"]


@pytest.mark.parametrize("concurrency", [1, 3, 16])
async def test_requests_at_once_are_bounded(concurrency: int) -> None:
    """Those for pages, workspaces and the label together; and the bound is used."""
    account = Account(**{f"space{number}": 500 for number in range(20)})
    report = await audited(account, concurrency=concurrency)
    assert min(concurrency, 15) <= account.most_under_way <= concurrency
    assert report.totals.keys == 10_000


async def test_chosen_workspaces() -> None:
    """By id, slug or name; those that fit are audited, and no others."""
    account = Account(one=10, two=20, three=30)
    for wanted in (["two", "three"], ["Two", "three", "two"]):
        report = await audited(account, workspaces=wanted)
        assert {space: t.keys for space, t in report.by_workspace.items()} == {
            "two": 20,
            "three": 30,
        }
        assert report.workspaces == {"two": "Two", "three": "Three"}
        assert (report.scope, report.complete) == ("chosen", True)
    assert (await audited(account, workspaces="one")).totals.keys == 10


async def test_an_unknown_workspace() -> None:
    """It is named, and nothing is listed."""
    account = Account(one=10)
    with pytest.raises(InvalidRequestError, match="workspaces: there is no workspace 'nine'"):
        await audited(account, workspaces=["one", "nine"])
    assert "list" not in [name for name, _ in account.calls]
    assert not running_tasks()


@pytest.mark.parametrize(
    "error",
    [
        ForbiddenResponseError("no", status_code=403),
        NotFoundResponseError("no", status_code=404),
        ResponseValidationError("response.data: missing"),
    ],
)
async def test_hidden_workspaces(error: OpenRouterError) -> None:
    """The default one is audited, and the report says that it is not all."""
    account = Account(one=250, two=10)
    account.failures["list_workspaces"] = error
    report = await audited(account)
    assert report.totals.keys == 250
    assert (report.complete, report.partial, report.scope) == (False, False, "default")
    finding = report.findings[0]
    assert (finding.rule, finding.severity) == ("workspaces-hidden", "critical")
    assert finding.sentence.startswith("Only the default workspace was audited: the service")
    assert report.workspaces == {}
    assert list(report.by_workspace) == ["one"]


async def test_chosen_ids_while_workspaces_are_hidden() -> None:
    """They are taken as they are."""
    account = Account(one=10, two=20)
    account.failures["list_workspaces"] = ForbiddenResponseError("no", status_code=403)
    report = await audited(account, workspaces=["two"])
    assert (report.totals.keys, report.complete, report.scope) == (20, True, "chosen")
    assert "workspaces-hidden" not in report.counts


async def test_a_notice_that_is_switched_off() -> None:
    """It is no finding; the report says what it says."""
    account = Account(one=10, two=20)
    account.failures["two"] = InternalServerResponseError("broken", status_code=500)
    report = await audited(account, policy=Policy().configured("workspace-failed", enabled=False))
    assert "workspace-failed" not in report.counts
    assert len(report.errors) == 1
    assert not report.complete


async def test_an_empty_list_of_workspaces() -> None:
    """There is always the default one."""

    class Shy(Account):
        async def _answer(self, operation: Any, given: Any) -> Any:
            if operation.name == "list_workspaces":
                return ListWorkspacesResponse(data=[])
            return await super()._answer(operation, given)

    report = await audited(Shy(one=10))
    assert (report.totals.keys, report.scope) == (10, "default")


@pytest.mark.parametrize("failing", ["one", "two"])
async def test_one_failing_workspace(failing: str) -> None:
    """It is an error in the report and a finding; the others are there."""
    account = Account(one=110, two=120, three=130)
    account.failures[failing] = InternalServerResponseError("broken", status_code=500)
    report = await audited(account)
    assert report.totals.keys == 360 - len(account.lists[failing].rows)
    [error] = report.errors
    assert attrs.asdict(error) == {
        "workspace_id": failing,
        "workspace": failing.title(),
        "error": "InternalServerResponseError",
        "message": "500 broken",
        "status_code": 500,
        "request_id": None,
    }
    finding = report.findings[0]
    assert (finding.rule, finding.workspace_id) == ("workspace-failed", failing)
    assert (report.complete, report.partial) == (False, False)


async def test_a_workspace_that_fails_half_way_keeps_its_keys() -> None:
    """What was read is there."""
    account = Account(one=10, two=1000)
    account.lists["two"].failures[3] = APIConnectionError("gone")
    report = await audited(account, concurrency=1)
    assert report.totals.keys == 10 + 100 + 95 + 95
    assert [error.error for error in report.errors] == ["APIConnectionError"]


async def test_nothing_could_be_read() -> None:
    """The first error is raised: an empty report would look like an empty account."""
    account = Account(one=10, two=10)
    account.failures = dict.fromkeys(account.lists, UnauthorizedResponseError("no"))
    with pytest.raises(UnauthorizedResponseError):
        await audited(account)
    assert not running_tasks()


async def test_an_inference_key() -> None:
    """It may not list anything."""
    account = Account(one=10)
    refused = ForbiddenResponseError("management keys only", status_code=403)
    account.failures = {"list_workspaces": refused, "list": refused}
    with pytest.raises(ForbiddenResponseError):
        await audited(account)


@pytest.mark.parametrize("operation", ["list", "list_workspaces"])
async def test_a_closed_client_is_nobodys_fault(operation: str) -> None:
    """It is raised as it is."""
    account = Account(one=10, two=10)
    account.failures[operation] = ClientClosedError("closed")
    with pytest.raises(ClientClosedError):
        await audited(account)
    assert not running_tasks()


async def test_an_unknown_option() -> None:
    """It is a `TypeError`, as everywhere."""

    async def call(*_: Any, **__: Any) -> Any:
        raise TypeError("unexpected keyword argument 'timeuot'")

    account = Account(one=10)
    account.call = call  # type: ignore[method-assign]
    with pytest.raises(TypeError):
        await AuditRun(account, timeuot=3).finish()  # type: ignore[call-arg]
    assert not running_tasks()


async def test_a_label_that_is_not_told() -> None:
    """Nothing depends on it."""
    account = Account(one=10)
    account.failures["get_current_key_metadata"] = InternalServerResponseError("no")
    report = await audited(account)
    assert (report.by, report.complete) == (None, True)


async def test_unreadable_records_are_findings() -> None:
    """The others are there, and the registry does not say that the key is missing."""
    account = Account(one=250, two=10)
    bad = account.lists["one"].rows[97].hash
    account.lists["one"].unreadable = {bad}
    everything = [key.hash for keys in account.lists.values() for key in keys.rows]
    report = await audited(account, registry=everything)
    assert report.totals.keys == 259
    [finding] = [each for each in report.findings if each.rule == "unreadable-key"]
    assert (finding.hash, finding.workspace, finding.severity) == (bad, "One", "warning")
    assert finding.sentence == "A key's record cannot be read: response.data[97].name: missing."
    assert "registry-missing" not in report.counts
    assert report.complete


async def test_keys_that_belong_elsewhere() -> None:
    """A service that ignores `workspace_id` is found out; each key is counted once, at home."""
    account = Account(one=30, two=20)
    everything = [key for keys in account.lists.values() for key in keys.rows]
    for keys in account.lists.values():
        keys.answer = lambda offset: everything[offset : offset + 100]
    report = await audited(account)
    assert {space: t.keys for space, t in report.by_workspace.items()} == {"one": 30, "two": 20}
    found = [each for each in report.findings if each.rule == "foreign-key"]
    assert [(each.workspace_id, each.figures["keys"]) for each in found] == [
        ("one", 20),
        ("two", 30),
    ]
    assert not report.complete


async def test_a_key_of_a_workspace_that_nobody_knows() -> None:
    """It is in the report all the same."""
    account = Account(one=30)
    account.lists["one"].rows[3] = attrs.evolve(account.lists["one"].rows[3], workspace_id="new")
    report = await audited(account)
    assert {space: t.keys for space, t in report.by_workspace.items()} == {"one": 29, "new": 1}
    assert "foreign-key" in report.counts


async def test_records_without_a_workspace() -> None:
    """Older answers leave it out; the key belongs to where it was listed."""
    account = Account(one=30, two=20)
    for keys in account.lists.values():
        keys.rows = [attrs.evolve(key, workspace_id=None) for key in keys.rows]
    report = await audited(account)
    assert {space: t.keys for space, t in report.by_workspace.items()} == {"one": 30, "two": 20}
    assert {key.workspace_id for key in report.keys} == {"one", "two"}


async def test_a_key_that_is_moved_meanwhile_comes_once() -> None:
    """Where it was seen first."""
    account = Account(one=30, two=20)
    moved = attrs.evolve(account.lists["one"].rows[0], workspace_id="two")
    account.lists["two"].rows.insert(0, moved)
    report = await audited(account)
    assert len(report.keys) == len({key.hash for key in report.keys}) == report.totals.keys == 50
    assert "foreign-key" not in report.counts


async def test_a_walk_in_doubt_is_a_finding() -> None:
    """And the report is not complete, so that nothing is said to be missing."""

    def after_page(keys: Any) -> None:
        if len(keys.requests) > 65:
            del keys.rows[:3000]

    account = Account(one=10, two=20_000)
    account.lists["two"]._after_page = after_page
    report = await audited(account, registry=["c" * 64])
    assert "walk-unverified" in report.counts
    assert not report.complete
    assert report.skipped == ["registry-missing"]
    assert "registry-missing" not in report.counts


async def test_registry() -> None:
    """Unknown keys, and hashes that no key has."""
    account = Account(one=3)
    hashes = [key.hash for key in account.lists["one"].rows]
    report = await audited(account, registry=[*hashes[1:], "c" * 64])
    found = {each.rule: each.hash for each in report.findings if each.rule.startswith("registry")}
    assert found == {"registry-unknown": hashes[0], "registry-missing": "c" * 64}


async def test_streaming_keeps_nothing() -> None:
    """Keys come one by one; the report has totals and counts, and says what it could not do."""
    account = Account(one=250, two=120)
    run = AuditRun(account, now=NOW, keep=False, registry=["c" * 64])
    keys = [key async for key in run]
    report = run.report()
    assert len(keys) == len({key.hash for key in keys}) == report.totals.keys == 370
    assert report.keys == report.findings == []
    assert report.counts["no-limit"] == 370
    assert report.worst == "warning"
    assert report.skipped == ["duplicate-name", "registry-missing"]
    assert report.complete


async def test_a_report_at_any_time() -> None:
    """It says that it is partial until the end."""
    account = Account(one=1000, two=1000)
    run = AuditRun(account, now=NOW, concurrency=1)
    before = run.report()
    assert (before.partial, before.complete, before.totals.keys, before.keys) == (
        True,
        False,
        0,
        [],
    )
    await run.next_page()
    middle = run.report()
    assert middle.partial
    assert 0 < len(middle.keys) == middle.totals.keys < 2000
    assert {finding.hash for finding in middle.findings} <= {key.hash for key in middle.keys}
    await run.finish()
    assert middle.totals.keys < run.report().totals.keys == 2000
    assert not run.report().partial


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 10, 20, 40])
async def test_cancelled_half_way(turns: int) -> None:
    """Nothing stays behind, and what is known is in a partial report."""
    account = Account(one=5000, two=5000)
    run = AuditRun(account, now=NOW)
    task = asyncio.create_task(run.finish())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not running_tasks()
    assert account.under_way == 0
    report = run.report()
    assert report.partial
    assert not report.complete
    assert len(report.keys) == report.totals.keys
    assert run.ended


async def test_aclose_ends_it() -> None:
    """Also before it began."""
    account = Account(one=2000, two=2000)
    run = AuditRun(account, now=NOW)
    await anext(run)
    assert running_tasks()
    await run.aclose()
    assert not running_tasks()
    assert run.report().partial
    assert [key async for key in run] == []
    unused = AuditRun(account)
    await unused.aclose()
    assert unused.report().partial


async def test_a_forgotten_run_ends_by_itself() -> None:
    """A `break` without `aclose` leaves no task once the run is gone."""
    account = Account(one=2000, two=2000)
    for keys in account.lists.values():
        keys.hang_after = 2
    async for _ in AuditRun(account, now=NOW):
        break
    assert running_tasks()
    gc.collect()
    for _ in range(30):
        await asyncio.sleep(0)
    assert not running_tasks()


@pytest.mark.parametrize("hang_after", [0, 1, 4])
async def test_aclose_while_others_wait(hang_after: int) -> None:
    """Their loops end without a stray cancellation, and the report is partial."""
    account = Account(one=2000, two=2000)
    for keys in account.lists.values():
        keys.hang_after = hang_after
    run = AuditRun(account, now=NOW)
    seen: list[APIKey] = []

    async def work() -> None:
        async for key in run:
            seen.append(key)  # noqa: PERF401  # what came before the end counts

    workers = [asyncio.create_task(work()) for _ in range(3)]
    while sum(len(keys.requests) for keys in account.lists.values()) <= hang_after:
        await asyncio.sleep(0)
    await run.aclose()
    await asyncio.wait_for(asyncio.gather(*workers), 5)
    assert not running_tasks()
    assert account.under_way == 0
    assert run.report().partial


async def test_a_run_shared_by_workers() -> None:
    """Each key comes once, and the report is whole."""
    account = Account(one=300, two=500)
    run = AuditRun(account, now=NOW)
    seen: list[str] = []

    async def work() -> None:
        async for key in run:
            seen.append(key.hash)
            await asyncio.sleep(0)

    await asyncio.gather(*(work() for _ in range(5)))
    assert sorted(seen) == sorted(key.hash for keys in account.lists.values() for key in keys.rows)
    assert run.report().complete
    assert not running_tasks()


async def test_a_service_with_short_pages() -> None:
    """Fifty keys on a page are not the whole account."""
    account = Account(one=1000, two=50, three=49)
    for keys in account.lists.values():
        keys.page_size = 50
    report = await audited(account)
    assert report.totals.keys == 1099
    assert report.complete


async def test_a_client_that_is_closed_half_way() -> None:
    """Nobody's list is to blame: it is raised, and there is no report of an account in ruins."""
    account = Account(one=500, two=500)
    account.lists["two"].failures[2] = ClientClosedError("closed")
    run = AuditRun(account, now=NOW)
    with pytest.raises(ClientClosedError):
        await run.finish()
    assert run.report().partial
    assert not running_tasks()


async def test_progress() -> None:
    """It is told after every page, and only grows; what it raises does not matter."""
    account = Account(one=500, two=300, three=0)
    told: list[AuditProgress] = []

    def progress(now: AuditProgress) -> None:
        told.append(now)
        raise ValueError("an observer's own mistake")

    report = await audited(account, progress=progress)
    last = told[-1]
    assert (last.keys, last.workspaces, last.workspaces_done) == (800, 3, 3)
    assert (last.pages, last.requests) == (report.pages, report.requests)
    assert last.findings == sum(report.counts.values())
    for earlier, later in pairwise(told):
        assert earlier.keys <= later.keys
        assert earlier.workspaces_done <= later.workspaces_done


async def test_own_rules_and_policies() -> None:
    """A policy decides what runs."""

    @rule("odd", severity="critical")
    def odd(key: APIKey, now: datetime) -> Any:
        if key.name == "key 3":
            yield Remark("Its name is odd.", {"now": now.isoformat()})

    account = Account(one=10)
    report = await audited(account, policy=Policy(rules=(odd,)))
    assert report.counts == {"odd": 1}
    assert report.findings[0].figures == {"now": NOW.isoformat()}
    assert report.reaches("critical")
    assert report.worst == "critical"


async def test_a_rule_that_raises() -> None:
    """Its own error is what its author sees, and nothing stays behind."""

    @rule("broken")
    def broken(key: APIKey, now: datetime) -> Any:
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        await audited(Account(one=300, two=300), policy=Policy(rules=(broken,)))
    assert not running_tasks()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"now": datetime(2026, 1, 1)}, "now must be an aware datetime"),  # noqa: DTZ001
        ({"now": "2026-01-01"}, "now must be an aware datetime"),
        ({"progress": 3}, "progress must be callable"),
        ({"policy": 3}, "policy must be a Policy or the path of a TOML file"),
        ({"policy": "nowhere.toml"}, "policy nowhere.toml: cannot be read"),
        ({"registry": "nowhere.txt"}, "registry nowhere.txt cannot be read"),
        ({"concurrency": 0}, "concurrency must be an integer of at least 1"),
        ({"rate": 0}, "rate must be a number of requests per second above 0"),
        ({"rate": float("inf")}, "rate must be a number"),
        ({"rate": "5"}, "rate must be a number"),
        ({"workspaces": []}, "workspaces must name at least one, or be None for all"),
        ({"workspaces": [""]}, "workspaces must be a str of at least 1 character"),
        (
            {"workspaces": ["sk-or-v1-" + "5e" * 32]},
            "workspaces must be a workspace's id, not a key",
        ),
        ({"workspaces": 3}, "workspaces must be ids, slugs or names, or None for all"),
    ],
)
def test_settings_are_checked_before_anything_is_sent(
    settings: dict[str, Any], message: str
) -> None:
    """The error names the parameter."""
    account = Account(one=10)
    with pytest.raises((ConfigurationError, InvalidRequestError)) as caught:
        AuditRun(account, **{"now": NOW, **settings})
    assert message in str(caught.value)
    assert not account.calls


def test_rate_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    monkeypatch.setitem(__import__("sys").modules, "aiolimiter", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'openrouter_async\[audit\]'"):
        AuditRun(Account(one=1), rate=5)


async def test_a_report_is_json() -> None:
    """With a version, and without anything that is not JSON."""
    account = Account(one=3, two=2)
    account.failures["two"] = InternalServerResponseError("broken", status_code=500)
    report = await audited(account)
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["schema"] == 1
    assert document["now"] == "2026-08-19T00:00:00Z"
    assert document["keys"][0]["hash"] == report.keys[0].hash
    assert document["by_workspace"][0] == {
        "workspace_id": "one", "workspace": "One", **report.by_workspace["one"].to_dict()
    }  # fmt: skip
    assert SAMPLE.label in json.dumps(document)
