import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.listing import SAMPLE, Account

from openrouter_async import APIKey, ConfigurationError, InternalServerResponseError
from openrouter_async.audit import AuditReport, AuditRun, Policy, Totals, compare, state_of
from openrouter_async.audit._report import comparison_document, report_document, report_from
from openrouter_async.report import json_pieces, json_text, utf8

NOW = datetime(2026, 8, 19, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def key(number: int, **changes: Any) -> APIKey:
    """A key with a hash of its own."""
    fields = {"hash": f"{number:064x}", "name": f"key {number}", "workspace_id": "one", **changes}
    return attrs.evolve(SAMPLE, **fields)


async def report_of(*keys: APIKey, now: datetime = NOW, **settings: Any) -> AuditReport:
    """The report of an account with these keys, in the workspaces that they name."""
    account = Account(one=0, two=0)
    for each in keys:
        account.lists[each.workspace_id or "one"].rows.append(each)
    return await AuditRun(account, now=now, **settings).finish()


def test_totals() -> None:
    """States are counted apart; a key may have several."""
    totals = Totals.of(
        [
            key(1, limit=10.0, limit_remaining=4.0, usage=6.0, usage_daily=1.0, byok_usage=2.0),
            key(2, limit=10.0, limit_remaining=0.0, usage=10.0),
            key(3, limit=10.0, limit_remaining=-1.5, disabled=True, expires_at=NOW),
            key(4, usage=0.1),
            key(5, usage=0.2, disabled=True),
        ],
        NOW,
    )
    assert totals.to_dict() == {
        "keys": 5,
        "active": 2,
        "disabled": 2,
        "expired": 1,
        "exhausted": 2,
        "overspent": 1,
        "unlimited": 2,
        "limit": 30.0,
        "limit_remaining": 2.5,
        "spent_in_window": 27.5,
        "usage": 16.3,
        "usage_daily": 1.0,
        "usage_weekly": 0.0,
        "usage_monthly": 0.0,
        "byok_usage": 2.0,
        "byok_usage_daily": 0.0,
        "byok_usage_weekly": 0.0,
        "byok_usage_monthly": 0.0,
    }


def test_totals_agree_with_the_record() -> None:
    """What a key says of itself is what is counted."""
    keys = [
        key(n, disabled=n % 2 == 0, expires_at=NOW if n % 3 else None, limit=1.0, limit_remaining=r)
        for n in range(6)
        for r in (1.0, 0.0, -1.0, None)
    ]
    totals = Totals.of(keys, NOW)
    assert totals.active == sum(each.is_active(NOW) for each in keys)
    assert totals.expired == sum(each.is_expired(NOW) for each in keys)
    assert totals.exhausted == sum(each.is_exhausted for each in keys)


def test_totals_by_group() -> None:
    """In the order of first appearance; merged they are the whole."""
    keys = [key(1, creator_user_id="b"), key(2), key(3, creator_user_id="b", usage=2.5)]
    groups = Totals.grouped(keys, lambda each: each.creator_user_id, NOW)
    assert {name: group.keys for name, group in groups.items()} == {"b": 2, None: 1}
    assert Totals.merged(groups.values(), NOW) == Totals.of(keys, NOW)


async def test_rows_are_flat_and_typed() -> None:
    """A dict for each key: its own fields, and what follows from them."""
    good = key(1, limit=10.0, limit_remaining=4.0, last_used_at=NOW, expires_at=LATER)
    dead = key(2, disabled=True, limit=0.0, limit_remaining=0.0, workspace_id="two")
    report = await report_of(good, dead)
    one, two = report.rows()
    assert list(one) == list(two)
    assert list(one)[: len(attrs.fields(APIKey))] == [field.name for field in attrs.fields(APIKey)]
    assert one["last_used_at"] == NOW
    assert (one["workspace"], one["state"], one["spent_in_window"], one["used"]) == (
        "One", "active", 6.0, 0.6
    )  # fmt: skip
    assert (one["severity"], one["findings"]) == ("warning", "expiring-soon near-limit")
    assert (two["state"], two["used"], two["severity"]) == ("disabled exhausted", None, "warning")
    allowed = (str, float, bool, datetime, type(None))
    assert all(isinstance(value, allowed) for row in (one, two) for value in row.values())
    unharmed = (await report_of(key(1), policy=Policy(rules=()))).rows()[0]
    assert (unharmed["severity"], unharmed["findings"]) == (None, "")


def test_states() -> None:
    """Each that holds is told."""
    assert state_of(key(1), NOW) == "active"
    everything = key(1, disabled=True, expires_at=NOW, limit=1.0, limit_remaining=-1.0)
    assert state_of(everything, NOW) == "disabled expired exhausted"


async def test_findings_by_key() -> None:
    """The gravest first; findings about no key are left out."""
    report = await report_of(key(1, limit=1.0, limit_remaining=-1.0), key(2, disabled=True))
    found = report.by_key()
    assert [each.rule for each in found[key(1).hash]] == [
        "overspent", "exhausted", "no-expiry", "never-used"
    ]  # fmt: skip
    assert [each.rule for each in found[key(2).hash]] == ["disabled"]
    assert report.severities == {"critical": 1, "warning": 1, "info": 3}
    assert (report.worst, report.reaches("critical"), report.reaches("info")) == (
        "critical", True, True
    )  # fmt: skip
    quiet = await report_of(key(1, disabled=True))
    assert (quiet.worst, quiet.reaches("warning")) == ("info", False)
    assert (await report_of()).worst is None


async def test_repr_is_short() -> None:
    """It names no key."""
    text = repr(await report_of(*(key(number) for number in range(50))))
    assert key(1).hash not in text
    assert len(text) < 1000


async def saved(report: AuditReport, path: Path) -> AuditReport:
    """Save and load."""
    path.write_text(json.dumps(report.to_dict()), "utf-8")
    return AuditReport.load(path)


async def test_a_saved_report_is_read_again(tmp_path: Path) -> None:
    """All of it."""
    account = Account(one=120, two=3)
    account.failures["two"] = InternalServerResponseError("broken", status_code=500)
    account.lists["one"].rows[0] = key(
        7, limit=1.5, limit_remaining=-0.5, name="naïve \u2028 name", creator_user_id="user_1"
    )
    report = await AuditRun(account, now=NOW, registry=["c" * 64]).finish()
    again = await saved(report, tmp_path / "report.json")
    assert attrs.asdict(again) == attrs.asdict(report)
    assert again == report
    assert again.to_dict() == report.to_dict()
    streamed = AuditRun(Account(one=30), now=NOW, keep=False)
    while not streamed.ended:
        await streamed.next_page()
    assert (await saved(streamed.report(), tmp_path / "report.json")) == streamed.report()
    marked = tmp_path / "marked.json"
    marked.write_text(json.dumps(report.to_dict()), "utf-8-sig")
    assert AuditReport.load(marked) == report


async def test_a_report_in_pieces_is_the_same(tmp_path: Path) -> None:
    """Whether it was written a record a line, or in one piece as earlier versions did."""
    report = await report_of(
        key(1, limit=1e-7, limit_remaining=-1e16, name="naïve \u2028 name", last_used_at=NOW),
        key(2, workspace_id="two", disabled=True),
    )
    new, old = tmp_path / "new.json", tmp_path / "old.json"
    new.write_bytes(utf8("".join(json_pieces(report_document(report)))))
    old.write_bytes(utf8(json_text(report.to_dict())))
    assert json.loads(new.read_bytes()) == json.loads(old.read_bytes()) == report.to_dict()
    assert AuditReport.load(new) == AuditReport.load(old) == report
    comparison = compare(report, await report_of(key(1), now=LATER))
    pieces = "".join(json_pieces(comparison_document(comparison)))
    assert json.loads(pieces) == comparison.to_dict()


async def test_loaded_records_share_their_strings(tmp_path: Path) -> None:
    """As those of an audit do; otherwise a report would take twice the memory."""
    report = await report_of(key(1, disabled=True, limit=1.0, limit_remaining=0.0), key(2))
    loaded = await saved(report, tmp_path / "report.json")
    [one, _] = loaded.keys
    found = loaded.by_key()[one.hash]
    assert len(found) > 1
    for finding in found:
        assert finding.hash is one.hash
        assert finding.name is one.name
        assert finding.workspace is found[0].workspace


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("findings", {"figures": {"days": 3, "usd": 3.0, "is": True, "none": None, "name": "x"}}),
        ("findings", {"figures": {"list": [1], "usd": 2}}),
        ("findings", {"figures": {"name": "\ud800"}}),
        ("findings", {"figures": {"huge": 10**30}}),
        ("findings", {"figures": None}),
        ("findings", {"newer": [{"figures": 1}]}),
        ("findings", {"severity": "critical", "hash": None, "name": None}),
        ("keys", {"created_at": "2026-08-01T02:00:00+02:00"}),
        ("keys", {"usage": 3, "limit": 10**20, "limit_remaining": -0.0}),
        ("keys", {"newer": {"a": [1]}, "limit_reset": "yearly"}),
        ("keys", {"expires_at": None, "creator_user_id": None, "workspace_id": None}),
    ],
)
async def test_both_roads_read_the_same(tmp_path: Path, where: str, change: dict[str, Any]) -> None:
    """What msgspec declines is read with care, and what it takes has the same types and values."""
    document = (await report_of(key(1), key(2))).to_dict()
    document[where][0] |= change
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document))
    loaded = AuditReport.load(path)
    careful = report_from(json.loads(path.read_bytes()))
    assert loaded == careful
    assert json.dumps(loaded.to_dict()) == json.dumps(careful.to_dict())


def test_every_amount_is_summed() -> None:
    """Each to itself: twelve different amounts, over two keys."""
    names = [
        f"{kind}{window}"
        for kind in ("usage", "byok_usage")
        for window in ("", "_daily", "_weekly", "_monthly")
    ]
    names += ["limit", "limit_remaining"]
    amounts = {name: 2.0**place for place, name in enumerate(names)}
    twice = Totals.of([key(1, **amounts), key(2, **amounts)], NOW)
    assert {name: getattr(twice, name) for name in names} == {
        name: 2 * amount for name, amount in amounts.items()
    }
    assert twice.spent_in_window == 2 * (amounts["limit"] - amounts["limit_remaining"])
    assert Totals.merged([twice, twice], NOW).byok_usage_weekly == 4 * amounts["byok_usage_weekly"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": None}, "it has no schema number"),
        ({"schema": True}, "it has no schema number"),
        ({"schema": 2}, "it has schema 2, and this version reads up to 1"),
        ({"keys": 3}, "report.keys: expected a list, got a number"),
        ({"keys": [{}]}, "report.keys[0]"),
        ({"totals": None}, "report.totals: expected an object, got null"),
        ({"now": "yesterday"}, "report.now: expected an ISO 8601 timestamp with a zone"),
        ({"scope": "some"}, "report.scope: expected all, chosen, default"),
        ({"counts": {"idle": "3"}}, "report.counts: expected numbers"),
        ({"severities": {"bad": 3}}, "severity must be info, warning or critical"),
        ({"by_creator": [3]}, "expected an object"),
        ({"findings": [{"rule": "x", "severity": "bad", "sentence": "x"}]}, "severity must be"),
    ],
)
async def test_a_bad_file_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """File and path are named."""
    path = tmp_path / "report.json"
    path.write_text(json.dumps({**(await report_of(key(1))).to_dict(), **change}))
    with pytest.raises(ConfigurationError) as caught:
        AuditReport.load(path)
    assert str(caught.value).startswith(f"{path} is no saved report: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"[", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 50_000, "is nested too deeply"),
        (b'{"schema": 1, "keys": ' + b'{"a":' * 50_000, "is nested too deeply"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "it has no schema number"),
        (b"\0" * 100, "is not JSON"),
        (b"[]", "it has no schema number"),
        (b'{"schema": 1}', "missing"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_no_report(tmp_path: Path, content: bytes | None, message: str) -> None:
    """It is named."""
    path = tmp_path / "report.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"report\.json") as caught:
        AuditReport.load(str(path))
    assert message in str(caught.value)


async def test_nothing_changed() -> None:
    """Two audits of the same account."""
    report = await report_of(key(1), key(2, workspace_id="two"))
    comparison = compare(report, await report_of(key(1), key(2, workspace_id="two"), now=LATER))
    assert comparison.is_empty
    assert comparison.complete
    assert (comparison.usage, comparison.byok_usage) == (0, 0)


async def test_what_changed(tmp_path: Path) -> None:
    """Keys, states, limits, names, places, money and findings."""
    old = await report_of(
        key(1, limit=10.0, limit_remaining=5.0, usage=5.0),
        key(2, disabled=True),
        key(3),
        key(4, usage=3.0),
        key(5, limit=10.0, limit_remaining=10.0, limit_reset="daily"),
        key(6),
    )
    new = await report_of(
        key(7, usage=0.25),
        key(1, limit=10.0, limit_remaining=-1.0, usage=11.1, byok_usage=0.5),
        key(2, name="second"),
        key(3, disabled=True),
        key(5, limit=None, limit_remaining=None, limit_reset=None, include_byok_in_limit=True),
        key(6, workspace_id="two", expires_at=LATER),
        now=LATER,
    )
    change = compare(await saved(old, tmp_path / "old"), await saved(new, tmp_path / "new"))
    assert change == compare(old, new)
    assert not change.is_empty
    assert [each.name for each in change.created] == ["key 7"]
    assert [each.name for each in change.deleted] == ["key 4"]
    assert [each.name for each in change.enabled] == ["second"]
    assert [each.name for each in change.disabled] == ["key 3"]
    assert [(each.name, each.field, each.old, each.new) for each in change.limits] == [
        ("key 5", "limit", 10.0, None),
        ("key 5", "limit_reset", "daily", None),
        ("key 5", "include_byok_in_limit", False, True),
    ]
    assert [(each.old, each.new) for each in change.renamed] == [("key 2", "second")]
    assert [(each.hash, each.old, each.new) for each in change.moved] == [
        (key(6).hash, "one", "two")
    ]
    assert [(each.old, each.new) for each in change.expiries] == [(None, LATER)]
    assert [(each.name, each.usage, each.byok_usage) for each in change.spend] == [
        ("key 1", 6.1, 0.5),
        ("key 7", 0.25, 0.0),
    ]
    assert (change.usage, change.byok_usage) == (6.35, 0.5)
    new_findings = {(each.name, each.rule) for each in change.findings_new}
    assert {("key 1", "overspent"), ("key 1", "exhausted"), ("key 3", "disabled")} <= new_findings
    gone = {(each.name, each.rule) for each in change.findings_gone}
    assert {("key 1", "near-limit"), ("key 2", "disabled"), ("key 4", "no-limit")} <= gone
    assert not new_findings & gone
    assert change.workspaces == {"one": "One", "two": "Two"}
    document = json.loads(json.dumps(change.to_dict()))
    assert document["schema"] == 1
    assert document["expiries"][0]["new"] == "2026-08-20T00:00:00Z"
    assert document["created"][0]["name"] == "key 7"


async def test_a_workspace_that_only_one_looked_at() -> None:
    """Its keys are neither created nor deleted."""
    keys = (key(1), key(2, workspace_id="two"))
    everything = await report_of(*keys)
    some = await report_of(*keys, workspaces=["one"])
    assert compare(everything, some).is_empty
    assert compare(some, everything).is_empty


async def test_a_workspace_that_could_not_be_read() -> None:
    """What cannot be seen is not said to be gone."""
    keys = (key(1), key(2, workspace_id="two"))
    everything = await report_of(*keys)
    account = Account(one=0, two=0)
    account.lists["one"].rows = [key(1)]
    account.failures["two"] = InternalServerResponseError("broken", status_code=500)
    some = await AuditRun(account, now=NOW).finish()
    comparison = compare(everything, some)
    assert not comparison.deleted
    assert not comparison.complete
    assert [each.rule for each in comparison.findings_new] == ["workspace-failed"]
    assert not compare(some, everything).created


async def test_a_partial_report_is_not_held_against_anybody() -> None:
    """Nothing is said to be deleted by an audit that was interrupted."""
    run = AuditRun(Account(one=100), now=NOW)
    await run.aclose()
    comparison = compare(await report_of(key(1)), run.report())
    assert not comparison.deleted
    assert not comparison.complete
