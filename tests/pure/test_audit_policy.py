from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.listing import SAMPLE

from openrouter_async import ConfigurationError
from openrouter_async.audit import (
    NOTICES,
    RULES,
    AuditReport,
    Idle,
    NearLimit,
    Policy,
    Remark,
    Severity,
    evaluate,
    read_registry,
    rule,
)

HASH = "a" * 64


def test_all_rules_run_by_default() -> None:
    """So does every notice of the walk."""
    assert [each.id for each in Policy().rules] == list(RULES)
    assert Policy().notices == NOTICES
    assert len(Policy().key_rules) + len(Policy().list_rules) == len(RULES)


def test_a_file_changes_thresholds_and_severities(tmp_path: Path) -> None:
    """What it does not mention stays."""
    path = tmp_path / "policy.toml"
    path.write_text("""
        [rules.idle]
        days = 60
        severity = "critical"
        [rules.near-limit]
        thresholds = [80, 95]
        [rules.no-expiry]
        enabled = false
        [rules.unreadable-key]
        severity = "info"
        [rules.workspaces-hidden]
        enabled = false
    """)
    policy = Policy.load(path)
    by_id: dict[str, Any] = {each.id: each for each in policy.rules}
    assert by_id["idle"] == Idle(days=60, severity=Severity.CRITICAL)
    assert isinstance(by_id["idle"].severity, Severity)
    assert by_id["near-limit"] == NearLimit(thresholds=(80, 95))
    assert by_id["old"] == RULES["old"]
    assert "no-expiry" not in by_id
    assert [each.id for each in policy.rules] == [each for each in RULES if each != "no-expiry"]
    notice = policy.notice("unreadable-key")
    assert notice is not None
    assert notice.severity == "info"
    assert policy.notice("workspaces-hidden") is None


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    """Nothing is said, nothing is changed."""
    path = tmp_path / "policy.toml"
    path.write_text("")
    assert Policy.load(str(path)) == Policy()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[rules.idel]", "there is no rule 'idel'; did you mean idle?"),
        ("[rules.zzz]", "there is no rule 'zzz'"),
        ("[rule.idle]", "unknown table rule: a policy has [rules.NAME]"),
        ("rules = 3", "rules must be tables such as [rules.idle]"),
        ("[rules]\nidle = 3", "rules.idle must be a table: [rules.idle]"),
        ("[rules.idle]\nday = 3", "idle: there is no setting 'day'; did you mean days?"),
        ("[rules.idle]\nid = 'x'", "idle: there is no setting 'id'"),
        ("[rules.idle]\ndays = -1", "idle: days must be a number of at least 0"),
        ("[rules.idle]\ndays = '9'", "idle: days must be a number of at least 0"),
        ("[rules.idle]\nseverity = 'bad'", "idle: severity must be info, warning or critical"),
        ("[rules.idle]\nenabled = 'no'", "idle: enabled must be true or false"),
        ("[rules.near-limit]\nthresholds = [101]", "near-limit: thresholds must be a list of"),
        ("[rules.registry-unknown]\nregistry = 'x'", "there is no setting 'registry'"),
        ("[rules.workspace-failed]\ndays = 1", "there is no setting 'days'"),
        ("[rules.idle", "is not valid TOML: "),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    """File, rule and setting."""
    path = tmp_path / "policy.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigurationError) as caught:
        Policy.load(path)
    error = str(caught.value)
    assert error.startswith(f"policy {path}: ")
    assert message in error
    assert "\n" not in error
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 50_000, "is nested too deeply"),
        ("a = " + "{a=" * 50_000, "is nested too deeply"),
        ("[rules.idle]\ndays = " + "9" * 5000, "has a number with too many digits"),
        ("[rules.idle]\ndays = " + "9" * 400, "idle: days must be a number of at least 0"),
        ("[rules.idle]\ndays = 0x" + "f" * 5000, "idle: days must be a number of at least 0"),
        ("[rules.near-limit]\nthresholds = [" + "9" * 400 + "]", "a list of percentages"),
        ("#" * (2**20 + 1), "cannot be read: it has more than 1,048,576 bytes"),
    ],
    ids=lambda value: value[:40],
)
def test_a_file_that_means_harm(tmp_path: Path, text: str, message: str) -> None:
    """It is one error that names it, whatever the parser raises."""
    test_a_bad_file_is_one_line_that_names_it(tmp_path, text, message)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    """Editors put it there."""
    path = tmp_path / "policy.toml"
    path.write_text("[rules.idle]\ndays = 60\n", "utf-8-sig")
    assert Idle(days=60) in Policy.load(path).rules


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("missing.toml", "No such file or directory"),
        (".", "Is a directory"),
        ("a\0b", "no file can have that name"),
        ("x" * 5000, "File name too long"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, place: str, message: str) -> None:
    """The system's reason is told."""
    for read in (Policy.load, read_registry, AuditReport.load):
        with pytest.raises(ConfigurationError, match=f"cannot be read: {message}") as caught:
            read(tmp_path / place)
        assert caught.value.__context__ is None


def test_a_file_configures_own_rules_too(tmp_path: Path) -> None:
    """Those made of a function by severity, those of a class by their fields."""

    @rule("anonymous")
    def anonymous(key: Any, now: Any) -> Any:
        yield Remark("Nobody knows.")

    @attrs.frozen(kw_only=True)
    class Long:
        id: str = attrs.field(default="long-name", init=False)
        severity: Severity = Severity.INFO
        most: int = attrs.field(default=3, validator=attrs.validators.ge(1))

        def check(self, key: Any, now: Any) -> Any:
            if len(key.name) > self.most:
                yield Remark("Its name is long.")

    path = tmp_path / "policy.toml"
    path.write_text("""
        [rules.anonymous]
        severity = "critical"
        [rules.long-name]
        most = 5
    """)
    policy = Policy.load(path, rules=[anonymous, Long()])
    findings = evaluate([SAMPLE], policy, SAMPLE.created_at)
    assert findings[0].severity == "critical"
    assert "long-name" not in [finding.rule for finding in findings]
    path.write_text("[rules.long-name]\nmost = 0")
    with pytest.raises(ConfigurationError, match="long-name: 'most' must be >= 1"):
        Policy.load(path, rules=[Long()])


def test_configured_in_python() -> None:
    """The same by method."""
    policy = Policy().configured("idle", days=1).configured("no-limit", enabled=False)
    assert Idle(days=1) in policy.rules
    assert "no-limit" not in [each.id for each in policy.rules]


def test_severities_have_an_order() -> None:
    """By rank, as the words have none."""
    assert sorted(Severity, key=lambda each: each.rank) == ["info", "warning", "critical"]


def test_now_may_be_left_out() -> None:
    """The present is taken."""
    expired = attrs.evolve(SAMPLE, expires_at=datetime(2026, 7, 2, tzinfo=UTC))
    assert [finding.rule for finding in evaluate([expired])] == ["expired"]


def test_a_registry_is_a_list_or_a_file(tmp_path: Path) -> None:
    """A hash a line; notes, empty lines, quotes, a heading and a byte-order mark do not matter."""
    path = tmp_path / "hashes.csv"
    path.write_text(f'\ufeff"hash",name\n{HASH},acme\n\n# old\n  "{"b" * 64}" gone\n', "utf-8")
    assert read_registry(path) == read_registry(str(path)) == {HASH, "b" * 64}
    assert read_registry([HASH, HASH]) == {HASH}
    assert read_registry(()) == frozenset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HASH}\nsk-or-v1-{HASH}\n", "line 2 is not a hash"),
        (f"{HASH}\n../x\n", "line 2 is not a hash"),
        ("\n\nabc\n", "line 3 is not a hash"),
        ("abc\nhash\n", "line 1 is not a hash"),
        (b"\xff", "is not UTF-8"),
    ],
)
def test_a_bad_registry_names_the_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    """Never what is in it, since people do put keys there."""
    path = tmp_path / "hashes.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_registry(path)
    assert HASH not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_registry_in_python_names_the_place() -> None:
    """Neither is a number one."""
    with pytest.raises(ConfigurationError, match=r"registry\[1\] is not a hash"):
        read_registry([HASH, "sk-or-v1-" + HASH])
    with pytest.raises(ConfigurationError, match="registry must be a file's path or an iterable"):
        read_registry(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_registry(Path("nowhere.txt"))
