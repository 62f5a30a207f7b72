"""The rules that an audit runs, their thresholds and severities, notices, and the registry."""

from __future__ import annotations

import difflib
import inspect
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, cast

import attrs

from openrouter_async import _checks
from openrouter_async.audit._findings import (
    Finding,
    KeyRule,
    ListRule,
    Remark,
    Rule,
    Severity,
    severity_of,
)
from openrouter_async.audit._list_rules import DuplicateName, MissingFromAccount, NotInRegistry
from openrouter_async.audit._reading import read_text
from openrouter_async.audit._spend_rules import (
    ByokNotCounted,
    Exhausted,
    NearLimit,
    NoLimit,
    Overspent,
    Spike,
)
from openrouter_async.audit._state_rules import (
    Disabled,
    Expired,
    ExpiringSoon,
    Idle,
    NeverUsed,
    NoExpiry,
    Old,
)
from openrouter_async.errors import ConfigurationError, InvalidRequestError
from openrouter_async.models import APIKey


@attrs.frozen(kw_only=True)
class Notice:
    """A kind of finding made by the walk itself rather than by a rule."""

    id: str
    severity: Severity = attrs.field(converter=severity_of)
    doc: str


HIDDEN_WORKSPACES: Final = "workspaces-hidden"
FAILED_WORKSPACE: Final = "workspace-failed"
UNREADABLE_KEY: Final = "unreadable-key"
FOREIGN_KEY: Final = "foreign-key"
UNVERIFIED_WALK: Final = "walk-unverified"

NOTICES: Final = (
    Notice(
        id=HIDDEN_WORKSPACES,
        severity=Severity.CRITICAL,
        doc="The service does not list the workspaces; only the default one was audited.",
    ),
    Notice(
        id=FAILED_WORKSPACE,
        severity=Severity.CRITICAL,
        doc="A workspace could not be read to its end.",
    ),
    Notice(
        id=UNREADABLE_KEY,
        severity=Severity.WARNING,
        doc="A key's record could not be read, so no rule has checked it.",
    ),
    Notice(
        id=FOREIGN_KEY,
        severity=Severity.WARNING,
        doc="The service listed keys of another workspace than the one asked for.",
    ),
    Notice(
        id=UNVERIFIED_WALK,
        severity=Severity.WARNING,
        doc="A workspace's list changed too much to be sure that no key was missed.",
    ),
)
"""The findings of the walk itself; policies set their severities like those of rules."""


Registry: TypeAlias = str | os.PathLike[str] | Iterable[str]
"""The path of a file with hashes, or the hashes themselves."""


def read_registry(registry: Registry) -> frozenset[str]:
    """Return the hashes; raises `ConfigurationError`, which names the line but not its content.

    A file has one hash per line. Anything after a comma or white space, empty lines, lines that
    begin with `#`, and a heading `hash` in the first line are ignored.
    """
    if isinstance(registry, (str, os.PathLike)):
        return _read_file(Path(registry))
    if not isinstance(registry, Iterable):
        raise ConfigurationError("registry must be a file's path or an iterable of hashes")
    hashes = list(cast("Iterable[object]", registry))
    return frozenset(
        _checked_hash(hash, f"registry[{number}] is not a hash")
        for number, hash in enumerate(hashes)
    )


def _read_file(path: Path) -> frozenset[str]:
    try:
        lines = read_text(path).splitlines()
    except ConfigurationError as error:
        problem = error.message
    else:
        return frozenset(
            _checked_hash(words[0], f"registry {path}: line {number} is not a hash")
            for number, line in enumerate(lines, start=1)
            if (words := line.replace(",", " ").split()) and not _is_comment(words[0], number)
        )
    raise ConfigurationError(f"registry {path} {problem}")


def _is_comment(word: str, line: int) -> bool:
    return word.startswith("#") or (line == 1 and word.strip('"').lower() == "hash")


def _checked_hash(hash: object, problem: str) -> str:
    # Fields of a CSV file may be quoted.
    plain = hash.strip('"') if isinstance(hash, str) else hash
    try:
        return _checks.key_hash("registry", plain)
    except InvalidRequestError:
        pass
    raise ConfigurationError(problem)


def rule(
    name: str, *, severity: Severity | str = Severity.WARNING
) -> Callable[[Callable[[APIKey, datetime], Iterable[Remark]]], KeyRule]:
    """Turn a generator function that takes a key and `now` and yields remarks into a rule.

    ```python
    @rule("team-prefix", severity="info")
    def team_prefix(key, now):
        if "-" not in key.name:
            yield Remark("Its name does not begin with a team.")

    report = await client.audit(policy=Policy().with_rules(team_prefix))
    ```
    """

    def decorate(function: Callable[[APIKey, datetime], Iterable[Remark]]) -> KeyRule:
        return FunctionRule(
            id=name,
            severity=severity_of(severity),
            function=function,
            doc=inspect.getdoc(function) or "",
        )

    return decorate


@attrs.frozen(kw_only=True)
class FunctionRule:
    """A rule that `rule` made from a function."""

    id: str
    severity: Severity
    function: Callable[[APIKey, datetime], Iterable[Remark]]
    doc: str = ""

    def check(self, key: APIKey, now: datetime) -> Iterable[Remark]:
        """Check one key."""
        return self.function(key, now)


BUILT_IN: Final[tuple[Rule, ...]] = (
    NoLimit(), NearLimit(), Exhausted(), Overspent(), NoExpiry(), ExpiringSoon(), Expired(),
    Disabled(), NeverUsed(), Idle(), Old(), ByokNotCounted(), Spike(), DuplicateName(),
    NotInRegistry(), MissingFromAccount(),
)  # fmt: skip
"""Every built-in rule with its defaults; findings of the same severity are in this order."""

RULES: Final[Mapping[str, Rule]] = {rule.id: rule for rule in BUILT_IN}
"""The built-in rules by identifier."""


def _needs_all(rule: Rule) -> bool:
    return bool(getattr(rule, "needs_all", False))


@attrs.frozen(kw_only=True)
class Policy:
    """The rules to run, with their settings; a rule that is not in the policy does not run."""

    rules: tuple[Rule, ...] = BUILT_IN
    notices: tuple[Notice, ...] = NOTICES
    """The findings of the walk itself, with their severities."""

    @cached_property
    def key_rules(self) -> tuple[KeyRule, ...]:
        """The rules that check one key at a time."""
        return tuple(cast("KeyRule", rule) for rule in self.rules if not _needs_all(rule))

    @cached_property
    def list_rules(self) -> tuple[ListRule, ...]:
        """The rules that need the whole list."""
        return tuple(cast("ListRule", rule) for rule in self.rules if _needs_all(rule))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, rules: Iterable[Rule] = ()) -> Self:
        """Read a policy from a TOML file; raises `ConfigurationError`.

        ```toml
        [rules.idle]
        days = 60
        severity = "critical"

        [rules.no-expiry]
        enabled = false
        ```

        `rules` are appended to the built-in ones; the file may configure them too.
        """
        where = Path(path)
        try:
            document = tomllib.loads(read_text(where, most=_LARGEST))
            return cls.from_dict(document, rules=rules)
        except tomllib.TOMLDecodeError as error:
            problem = f"is not valid TOML: {error}"
        except ConfigurationError as error:
            problem = error.message
        except RecursionError:
            problem = "is nested too deeply"
        except ValueError:  # raised by int() for more than 4,300 digits, and not wrapped by tomllib
            problem = "has a number with too many digits"
        raise ConfigurationError(f"policy {where}: {problem}")

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], *, rules: Iterable[Rule] = ()) -> Self:
        """Build a policy from the content of a TOML file; raises `ConfigurationError`."""
        if unknown := document.keys() - {"rules"}:
            raise ConfigurationError(f"unknown table {min(unknown)}: a policy has [rules.NAME]")
        tables: object = document.get("rules", {})
        if not isinstance(tables, Mapping):
            raise ConfigurationError("rules must be tables such as [rules.idle]")
        policy = cls(rules=(*BUILT_IN, *rules))
        for name, table in cast("Mapping[str, object]", tables).items():
            if not isinstance(table, Mapping):
                raise ConfigurationError(f"rules.{name} must be a table: [rules.{name}]")
            policy = policy.configured(name, **cast("Mapping[str, Any]", table))
        return policy

    def configured(self, name: str, /, *, enabled: bool = True, **settings: Any) -> Self:
        """Return a policy in which one rule has other settings, or is switched off.

        Raises `ConfigurationError` for an unknown rule or setting, or a value out of range.
        """
        if not isinstance(enabled, bool):
            raise ConfigurationError(f"{name}: enabled must be true or false")
        known: list[Rule | Notice] = [*self.rules, *self.notices]
        for rule in known:
            if rule.id == name:
                changed = [_changed(rule, settings)] if enabled else []
                return attrs.evolve(
                    self,
                    rules=_with_replaced(self.rules, rule, changed),
                    notices=_with_replaced(self.notices, rule, changed),
                )
        raise ConfigurationError(
            f"there is no rule {name!r}{_suggestion(name, [rule.id for rule in known])}"
        )

    def with_rules(self, *rules: Rule) -> Self:
        """Return a policy with more rules, appended to the present ones."""
        return attrs.evolve(self, rules=(*self.rules, *rules))

    def with_registry(self, hashes: Iterable[str]) -> Self:
        """Return a policy whose registry rules use these hashes."""
        registry = frozenset(hashes)
        rules = [
            attrs.evolve(rule, registry=registry)
            if isinstance(rule, (NotInRegistry, MissingFromAccount))
            else rule
            for rule in self.rules
        ]
        return attrs.evolve(self, rules=tuple(rules))

    def check(
        self, key: APIKey, now: datetime, *, workspace: str | None = None
    ) -> Iterator[Finding]:
        """Run the rules that check one key; `now` is aware, `workspace` its workspace's name."""
        for rule in self.key_rules:
            for remark in rule.check(key, now):
                yield finding_of(rule, remark, key, workspace)

    def check_all(
        self, keys: Sequence[APIKey], now: datetime, *, workspaces: Mapping[str, str] | None = None
    ) -> Iterator[Finding]:
        """Run the rules that need the whole list; `workspaces` maps IDs to names."""
        by_hash = {key.hash: key for key in keys} if self.list_rules else {}
        for rule in self.list_rules:
            for remark in rule.check_all(keys, now):
                key = by_hash.get(remark.hash or "")
                workspace_id = key.workspace_id if key else None
                yield finding_of(rule, remark, key, (workspaces or {}).get(workspace_id or ""))

    def notice(self, name: str) -> Notice | None:
        """Return the notice with this identifier; None: it is switched off."""
        return next((notice for notice in self.notices if notice.id == name), None)


def evaluate(
    keys: Iterable[APIKey],
    policy: Policy | None = None,
    now: datetime | None = None,
    *,
    workspaces: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Run every rule on a list of keys and return the findings, the most severe first.

    `policy` None: the built-in rules; `now` None: the present; `workspaces` maps IDs to names.
    """
    policy, now, keys = policy or Policy(), now or datetime.now(UTC), list(keys)
    names = workspaces or {}
    findings = [
        finding
        for key in keys
        for finding in policy.check(key, now, workspace=names.get(key.workspace_id or ""))
    ]
    return by_severity([*findings, *policy.check_all(keys, now, workspaces=names)], policy)


def by_severity(findings: Iterable[Finding], policy: Policy) -> list[Finding]:
    """Sort by severity, the most severe first, then by the policy's order of rules; stable."""
    order = {rule.id: number for number, rule in enumerate([*policy.notices, *policy.rules])}
    return sorted(
        findings, key=lambda each: (-each.severity.rank, order.get(each.rule, len(order)))
    )


def finding_of(rule: Rule, remark: Remark, key: APIKey | None, workspace: str | None) -> Finding:
    """Build the finding of a rule's remark."""
    return Finding(
        rule=rule.id,
        severity=remark.severity or rule.severity,
        sentence=remark.sentence,
        hash=key.hash if key else remark.hash,
        name=key.name if key else None,
        workspace_id=key.workspace_id if key else None,
        workspace=workspace,
        figures=remark.figures,
    )


def _changed(rule: Any, settings: Mapping[str, Any]) -> Any:
    """Return the rule with other settings; raises `ConfigurationError`."""
    free = ["severity", *_thresholds(rule)]
    for name in settings:
        if name not in free:
            guess = _suggestion(name, [*free, "enabled"])
            raise ConfigurationError(f"{rule.id}: there is no setting {name!r}{guess}")
    try:
        if "severity" in settings:
            settings = {**settings, "severity": severity_of(settings["severity"])}
        return attrs.evolve(rule, **settings)
    except ConfigurationError as error:
        problem = error.message
    except (
        TypeError,
        ValueError,
        OverflowError,
    ) as error:  # from the validators of a user's own rule
        problem = str(error)
    raise ConfigurationError(problem if problem.startswith(rule.id) else f"{rule.id}: {problem}")


def _thresholds(rule: Any) -> list[str]:
    """Return the names of the settings that a policy may change, besides the severity."""
    if isinstance(rule, Notice) or not attrs.has(type(rule)):
        return []
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(type(rule))
    return [field.name for field in fields if field.init and field.name not in _NOT_IN_FILES]


_LARGEST: Final = 2**20
"""Bytes; a larger policy file is refused."""
_NOT_IN_FILES: Final = {"id", "severity", "registry", "function", "doc"}


def _with_replaced(rules: tuple[Any, ...], old: object, new: list[Any]) -> tuple[Any, ...]:
    return tuple(each for rule in rules for each in (new if rule is old else [rule]))


def _suggestion(word: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def policy_from(policy: Policy | str | os.PathLike[str] | None) -> Policy:
    """Return the policy, reading it if it is a path; None: the built-in rules."""
    if policy is None:
        return Policy()
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, (str, os.PathLike)):
        return Policy.load(policy)
    raise ConfigurationError("policy must be a Policy or the path of a TOML file")
