from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from support.listing import SAMPLE

from openrouter_async import APIKey, ConfigurationError
from openrouter_async.audit import (
    RULES,
    DuplicateName,
    Finding,
    Idle,
    MissingFromAccount,
    NearLimit,
    NotInRegistry,
    Overspent,
    Policy,
    Remark,
    Severity,
    Spike,
    evaluate,
    rule,
)

NOW = datetime(2026, 8, 19, 12, tzinfo=UTC)  # a Wednesday


def days(count: float) -> timedelta:
    """So many days."""
    return timedelta(days=count)


def key(**changes: Any) -> APIKey:
    """A key of which there is nothing to say, but for the changes."""
    fine = {
        "limit": 100.0,
        "limit_remaining": 90.0,
        "limit_reset": "monthly",
        "usage": 10.0,
        "usage_monthly": 10.0,
        "created_at": NOW - days(30),
        "expires_at": NOW + days(60),
        "last_used_at": NOW - days(1),
    }
    return attrs.evolve(SAMPLE, **{**fine, **changes})


def spent(usd: float, **changes: Any) -> APIKey:
    """A key that spent so much of its limit of 100 USD."""
    return key(limit_remaining=100.0 - usd, **changes)


def found(*keys: APIKey, policy: Policy | None = None, now: datetime = NOW) -> list[str]:
    """The rules that have something to say."""
    return [finding.rule for finding in evaluate(keys, policy, now)]


def only(rule_of: object, *keys: APIKey, now: datetime = NOW) -> list[Finding]:
    """The findings of one rule."""
    return evaluate(keys, Policy(rules=(rule_of,)), now)


def test_nothing_to_say() -> None:
    """A key in order has no finding."""
    assert found(key()) == []


UNUSED: dict[str, Any] = {"last_used_at": None, "usage": 0.0, "usage_monthly": 0.0}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"limit": None, "limit_remaining": None}, ["no-limit"]),
        ({"limit_remaining": 50.01}, []),
        ({"limit_remaining": 50.0}, ["near-limit"]),
        ({"limit_remaining": 0.01}, ["near-limit"]),
        ({"limit_remaining": 0.0}, ["exhausted"]),
        ({"limit_remaining": -0.5}, ["overspent", "exhausted"]),
        ({"limit": 0.0, "limit_remaining": 0.0}, ["exhausted"]),
        ({"limit_remaining": None}, []),
        ({"expires_at": None}, ["no-expiry"]),
        ({"expires_at": NOW + days(7.01)}, []),
        ({"expires_at": NOW + days(7)}, ["expiring-soon"]),
        ({"expires_at": NOW + timedelta(seconds=1)}, ["expiring-soon"]),
        ({"expires_at": NOW}, ["expired"]),
        ({"expires_at": NOW - days(9)}, ["expired"]),
        ({"disabled": True}, ["disabled"]),
        ({**UNUSED}, ["never-used"]),
        ({**UNUSED, "created_at": NOW - days(6.9)}, []),
        ({**UNUSED, "byok_usage": 1.0, "include_byok_in_limit": True}, []),
        ({"last_used_at": NOW - days(89.9), "created_at": NOW - days(99)}, []),
        ({"last_used_at": NOW - days(90), "created_at": NOW - days(99)}, ["idle"]),
        ({"last_used_at": None, "created_at": NOW - days(99)}, ["idle"]),
        ({"created_at": NOW - days(364.9)}, []),
        ({"created_at": NOW - days(365)}, ["old"]),
        ({"byok_usage": 3.0}, ["byok-not-counted"]),
        ({"byok_usage": 3.0, "include_byok_in_limit": True}, []),
        ({"byok_usage": 3.0, "limit": None, "limit_remaining": None}, ["no-limit"]),
    ],
)
def test_rules_of_one_key(changes: dict[str, Any], expected: list[str]) -> None:
    """Each threshold belongs to the finding."""
    assert found(key(**changes)) == expected


def test_states_are_three_things() -> None:
    """A key may be disabled, expired and exhausted at once, and each is told."""
    dead = key(disabled=True, expires_at=NOW - days(1), limit_remaining=0.0)
    assert found(dead) == ["exhausted", "expired", "disabled"]


@pytest.mark.parametrize("end", [{"disabled": True}, {"expires_at": NOW - days(1)}])
@pytest.mark.parametrize(
    "changes",
    [
        {"limit": None, "limit_remaining": None},
        {"limit_remaining": 1.0},
        UNUSED,
        {"last_used_at": NOW - days(200)},
        {"created_at": NOW - days(900)},
        {"byok_usage": 3.0},
    ],
)
def test_a_key_that_nobody_can_use_is_left_alone(
    end: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Only its state is told."""
    assert len(found(key(**{**changes, **end}))) == 1


@pytest.mark.parametrize(
    ("usd", "threshold", "severity"),
    [
        (50, 50, "info"),
        (74.9, 50, "info"),
        (75, 75, "info"),
        (90, 90, "warning"),
        (99.99, 90, "warning"),
    ],
)
def test_near_limit_names_the_highest_threshold(usd: float, threshold: int, severity: str) -> None:
    """It goes by the window's spend, not by the usage of a lifetime."""
    [finding] = only(NearLimit(), spent(usd, usage=100_000.0))
    assert finding.severity == severity
    assert finding.figures["threshold"] == threshold
    assert finding.figures["spent"] == pytest.approx(usd)


def test_thresholds_may_come_in_any_order() -> None:
    """They are sorted, and one may be all there is."""
    assert NearLimit(thresholds=(90, 10)).thresholds == (10, 90)
    assert only(NearLimit(thresholds=(90, 10)), spent(20))[0].figures["threshold"] == 10
    assert not only(NearLimit(thresholds=(95,)), spent(94))


def test_overspending_may_be_tolerated() -> None:
    """By so many USD."""
    assert not only(Overspent(tolerance=1), spent(101))
    [finding] = only(Overspent(tolerance=1), spent(101.25))
    assert finding.figures == {"spent": 101.25, "limit": 100.0, "excess": 1.25}
    assert finding.sentence == "$1.25 more than its limit of $100.00 are spent."


def test_use_before_the_record_began_counts_as_idle() -> None:
    """The service does not know of uses before 2026."""
    old = key(created_at=datetime(2025, 3, 1, tzinfo=UTC), last_used_at=None)
    [finding] = only(Idle(days=100), old)
    assert finding.figures["days"] == 230.5


WEDNESDAY, MONDAY, FIRST = (
    NOW,
    datetime(2026, 8, 17, 6, tzinfo=UTC),
    datetime(2026, 6, 1, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("now", "day", "week", "month", "usual"),
    [
        (WEDNESDAY, 10.0, 14.0, 500.0, 2.0),  # 4 USD on two earlier days
        (WEDNESDAY, 10.0, 14.1, 500.0, None),
        (WEDNESDAY, 9.99, 10.0, 500.0, None),  # too little to matter
        (WEDNESDAY, 10.0, 10.0, 500.0, 0.0),
        (MONDAY, 100.0, 100.0, 260.0, 10.0),  # 160 USD on 16 earlier days of the month
        (FIRST, 100.0, 100.0, 100.0, None),  # a Monday and a first: nothing to compare with
    ],
)
def test_spike(now: datetime, day: float, week: float, month: float, usual: float | None) -> None:
    """Today against the mean of the week's earlier days, or the month's on a Monday."""
    spender = key(
        usage_daily=day, usage_weekly=week, usage_monthly=month, created_at=now - days(90)
    )
    findings = only(Spike(), spender, now=now)
    assert [finding.figures["usual"] for finding in findings] == ([] if usual is None else [usual])


def test_a_new_key_has_no_usual_day() -> None:
    """Its first day is no spike; later, only the days that it lived count."""
    spend = {"usage_daily": 50.0, "usage_weekly": 50.0, "usage_monthly": 50.0}
    assert not only(Spike(), key(**spend, created_at=NOW - timedelta(hours=3)))
    assert only(Spike(), key(**spend, created_at=NOW - days(1)))


def test_spike_sees_provider_keys() -> None:
    """BYOK is spending too."""
    assert only(Spike(), key(byok_usage_daily=20.0, byok_usage_weekly=20.5))


def test_duplicate_names() -> None:
    """Each of them is told how many others there are; a policy may look at each workspace alone."""
    one, two, three = (
        key(hash=str(number) * 64, name="acme", workspace_id=space)
        for number, space in enumerate(["a", "a", "b"])
    )
    other = key(hash="9" * 64, name="other")
    findings = only(DuplicateName(), one, two, three, other)
    assert [(f.hash, f.figures["others"]) for f in findings] == [
        (one.hash, 2), (two.hash, 2), (three.hash, 2)
    ]  # fmt: skip
    assert findings[0].sentence == "2 other keys have the same name."
    findings = only(DuplicateName(within="workspace"), one, two, three, other)
    assert [f.hash for f in findings] == [one.hash, two.hash]
    assert findings[0].sentence == "Another key has the same name."
    assert only(DuplicateName(), one, other) == []


@pytest.mark.parametrize("rule_of", [DuplicateName, MissingFromAccount])
def test_rules_over_the_list_run_once_over_all(rule_of: Any) -> None:
    """They cannot look at one key, and are left out where the list is not whole."""
    assert rule_of().needs_all
    policy = Policy(rules=(rule_of(),))
    assert policy.key_rules == ()
    with pytest.raises(TypeError):
        rule_of(needs_all=False)
    with pytest.raises(TypeError):
        rule_of(id="other")


def test_registry() -> None:
    """Keys that it does not know, and hashes that nobody has; without one, nothing."""
    known, unknown = key(hash="a" * 64, name="a"), key(hash="b" * 64, name="b")
    policy = Policy().with_registry(["a" * 64, "c" * 64])
    findings = evaluate([known, unknown], policy, NOW)
    assert [(f.rule, f.severity, f.hash, f.name) for f in findings] == [
        ("registry-missing", "critical", "c" * 64, None),
        ("registry-unknown", "warning", "b" * 64, "b"),
    ]
    assert not only(NotInRegistry(), known)
    assert not only(MissingFromAccount(), known)


def test_findings_name_key_and_workspace() -> None:
    """They carry what a table needs."""
    acme = key(disabled=True, workspace_id="w1", name="acme")
    [finding] = evaluate([acme], None, NOW, workspaces={"w1": "Production"})
    assert finding == Finding(
        rule="disabled",
        severity=Severity.INFO,
        sentence="It is disabled.",
        hash=acme.hash,
        name="acme",
        workspace_id="w1",
        workspace="Production",
    )


def test_the_gravest_come_first() -> None:
    """Then in the order of the policy's rules, then of the keys."""
    keys = [
        key(hash="1" * 64, name="1", disabled=True),
        key(hash="2" * 64, name="2", limit_remaining=-1.0, limit=10.0),
        key(hash="3" * 64, name="3", limit=None, limit_remaining=None),
    ]
    assert [f.severity for f in evaluate(keys, None, NOW)] == [
        "critical", "warning", "warning", "info"
    ]  # fmt: skip
    assert found(*keys) == ["overspent", "no-limit", "exhausted", "disabled"]


def test_every_rule_says_who_it_is() -> None:
    """Identifiers are in kebab-case, and there is a docstring for lists of rules."""
    assert len(RULES) == 16
    for name, each in RULES.items():
        assert name == each.id == name.lower().replace("_", "-")
        assert (type(each).__doc__ or "").splitlines()[0].endswith(".")


def test_a_rule_of_the_users_own() -> None:
    """A generator function becomes one; a remark may have another severity."""

    @rule("team-prefix", severity="critical")
    def team_prefix(key: APIKey, now: datetime) -> Any:
        """Names begin with a team."""
        if "-" not in key.name:
            yield Remark("Its name does not begin with a team.", {"name": key.name})
            yield Remark("Perhaps it is old.", severity=Severity.INFO)

    findings = evaluate([key()], Policy().with_rules(team_prefix), NOW)
    assert [(f.rule, f.severity, f.figures) for f in findings] == [
        ("team-prefix", "critical", {"name": "acme"}),
        ("team-prefix", "info", {}),
    ]


def test_any_object_can_be_a_rule() -> None:
    """It needs an identifier, a severity and a check; one for all keys says so."""

    class TooMany:
        id = "too-many"
        severity = Severity.WARNING
        needs_all = True

        def check_all(self, keys: Any, now: datetime) -> Any:
            if len(keys) > 1:
                yield Remark(f"There are {len(keys)} keys.")

    [finding] = only(TooMany(), key(), key())
    assert (finding.rule, finding.sentence, finding.hash) == ("too-many", "There are 2 keys.", None)


@pytest.mark.parametrize(
    ("rule_of", "settings", "message"),
    [
        (Idle, {"days": -1}, "idle: days must be a number of at least 0"),
        (Idle, {"days": float("nan")}, "idle: days must be"),
        (Idle, {"days": True}, "idle: days must be"),
        (Idle, {"days": "9"}, "idle: days must be"),
        (Spike, {"factor": 0.5}, "spike: factor must be a number of at least 1"),
        (NearLimit, {"thresholds": ()}, "near-limit: thresholds must be a list of percentages"),
        (NearLimit, {"thresholds": (50, 101)}, "above 0, at most 100"),
        (NearLimit, {"thresholds": (0,)}, "above 0, at most 100"),
        (NearLimit, {"thresholds": 50}, "near-limit: thresholds"),
        (NearLimit, {"thresholds": "50"}, "near-limit: thresholds"),
        (NearLimit, {"warn_from": 200}, "warn_from must be a number of at least 0, at most 100"),
        (DuplicateName, {"within": "team"}, "duplicate-name: within must be account or workspace"),
    ],
)
def test_settings_are_checked(rule_of: Any, settings: dict[str, Any], message: str) -> None:
    """The error names rule and field."""
    with pytest.raises(ConfigurationError) as caught:
        rule_of(**settings)
    assert message in str(caught.value)
