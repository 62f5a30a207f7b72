"""The report of an audit: built, saved, loaded and compared."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import msgspec

from openrouter_async import _json, _money
from openrouter_async._converter import keys_in_utc, structure, to_dict
from openrouter_async._json import as_object
from openrouter_async.audit._findings import Figure, Finding, Severity, severity_of
from openrouter_async.audit._key_columns import columns_of
from openrouter_async.audit._ledger import Totals
from openrouter_async.audit._reading import read_file
from openrouter_async.errors import ConfigurationError, OpenRouterError, ResponseValidationError
from openrouter_async.models import APIKey, Timestamp

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

SCHEMA: Final = 1
"""The version of `AuditReport.to_dict()`; it changes when a reader of the old one would fail."""


SCOPES: Final = ("all", "chosen", "default")
"""What an audit looked at."""


@attrs.frozen(kw_only=True)
class AuditFailure:
    """A workspace that could not be read, or not to its end."""

    workspace_id: str | None
    """None: the default workspace, asked for without its id."""
    workspace: str | None
    """Its name; None where that is not known."""
    error: str
    """The class of the error, such as `InternalServerResponseError`."""
    message: str
    status_code: int | None = None
    request_id: str | None = None

    @classmethod
    def of(
        cls, error: OpenRouterError, workspace_id: str | None, workspace: str | None
    ) -> AuditFailure:
        """Keep what can be told of an error."""
        return cls(
            workspace_id=workspace_id,
            workspace=workspace,
            error=type(error).__name__,
            message=str(error),
            status_code=error.status_code,
            request_id=error.request_id,
        )


def _how_many(things: Sized) -> str:
    return f"<{len(things)}>"


@attrs.frozen(kw_only=True)
class AuditReport:
    """Every key of the audited workspaces, and what is the matter with them."""

    keys: Sequence[APIKey] = attrs.field(repr=_how_many)
    """By workspace, each newest first; empty when the run was told not to keep them."""
    findings: Sequence[Finding] = attrs.field(repr=_how_many)
    """The gravest first."""
    counts: Mapping[str, int]
    """How many findings each rule has, kept or not."""
    severities: Mapping[Severity, int]
    """How many findings each severity has, kept or not, the gravest first."""
    totals: Totals = attrs.field(repr=False)
    by_workspace: Mapping[str | None, Totals] = attrs.field(repr=_how_many)
    """By workspace id, in the service's order; None: the service did not say."""
    by_creator: Mapping[str | None, Totals] = attrs.field(repr=_how_many)
    """By `creator_user_id`; None: the service did not say."""
    scope: str
    """`all` workspaces, those `chosen`, or the `default` one, since the others are hidden."""
    workspaces: Mapping[str, str]
    """The names of the audited workspaces by id; empty where the service hides them."""
    now: datetime
    """What the rules went by (UTC)."""
    started: datetime
    """When the audit began (UTC)."""
    finished: datetime
    """When it ended, or this partial report was made (UTC)."""
    seconds: float
    """How long it took."""
    by: str | None
    """The masked label of the management key; None where `GET /key` did not answer."""
    complete: bool
    """Whether no key can be missing: all workspaces were read, every seam of pages was verified."""
    partial: bool
    """Whether the audit was still under way, or was ended early."""
    refetched: int
    """How many pages were fetched again because a list changed meanwhile."""
    pages: int
    """How many pages of keys were read."""
    requests: int
    """How many calls were made, those for workspaces and the key's label included."""
    errors: Sequence[AuditFailure]
    """Workspaces that could not be read."""
    skipped: Sequence[str]
    """Rules that could not run, since the keys were not kept, or may not be all."""

    @property
    def worst(self) -> Severity | None:
        """The gravest severity; None without findings."""
        return next((severity for severity, count in self.severities.items() if count), None)

    def reaches(self, severity: Severity | str) -> bool:
        """Return whether there is a finding of this severity or a graver one."""
        return self.worst is not None and self.worst.rank >= Severity(severity).rank

    def by_key(self) -> dict[str, list[Finding]]:
        """Return each key's findings by hash, the gravest first; keys without any are left out."""
        found: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            if finding.hash is not None:
                found[finding.hash].append(finding)
        return dict(found)

    def covers(self, workspace_id: str | None) -> bool:
        """Return whether the report would have a key of this workspace."""
        if self.partial or any(
            failure.workspace_id in (None, workspace_id) for failure in self.errors
        ):
            return False
        return self.scope == "all" or workspace_id in self.by_workspace or workspace_id is None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AuditReport:
        """Read the JSON of `to_dict()` from a file; raises `ConfigurationError`."""
        return load_report(path)

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat dict for each key, for any frame library.

        Values are str, float, bool, aware UTC datetimes or None, of one type in each column.
        """
        columns = columns_of(self, self.keys)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_pandas(self) -> pd.DataFrame:
        """Return `rows()` as a frame; raises `ConfigurationError` without the extra `pandas`.

        Columns are nullable: `string`, `Float64`, `boolean`, and UTC datetimes.
        """
        from openrouter_async.audit._notebook import to_pandas

        return to_pandas(columns_of(self, self.keys))

    def chart(self, by: str = "workspace", window: str = "monthly") -> alt.Chart:
        """Chart what was spent, credits and provider keys (BYOK), the greatest first.

        `by` is `workspace`, `creator_user_id`, `name` or another column of names, `window` is
        `daily`, `weekly`, `monthly` or `ever`. Raises `ConfigurationError` for others, and without
        the extra `pandas`.
        """
        from openrouter_async.audit._notebook import chart

        return chart(self, by, window)

    def _repr_html_(self) -> str:
        """Show totals, findings by rule and the keys that need a look, in a notebook."""
        from openrouter_async.audit._notebook import report_html

        return report_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, without any secret; `schema` is its version."""
        return _with_lists(report_document(self))


def report_document(report: AuditReport) -> dict[str, Any]:
    """Return `report.to_dict()` with iterators in place of the lists of findings and keys.

    Built at once, those of 100,000 keys take a gigabyte.
    """
    plain = ("scope", "seconds", "by", "complete", "partial", "refetched", "pages", "requests")
    times = ("now", "started", "finished")
    return {
        "schema": SCHEMA,
        **{name: instant(getattr(report, name)) for name in times},
        **{name: getattr(report, name) for name in plain},
        "workspaces": [{"id": space, "name": name} for space, name in report.workspaces.items()],
        "totals": report.totals.to_dict(),
        "by_workspace": [
            {
                "workspace_id": space,
                "workspace": report.workspaces.get(space or ""),
                **totals.to_dict(),
            }
            for space, totals in report.by_workspace.items()
        ],
        "by_creator": [
            {"creator_user_id": creator, **totals.to_dict()}
            for creator, totals in report.by_creator.items()
        ],
        "counts": dict(report.counts),
        "severities": dict(report.severities),
        "findings": map(to_dict, report.findings),
        "errors": [to_dict(error) for error in report.errors],
        "skipped": list(report.skipped),
        "keys": map(to_dict, report.keys),
    }


def _with_lists(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, Iterator) else value
        for name, value in document.items()
    }


def instant(moment: datetime) -> str:
    """Write an instant as the service does."""
    return moment.isoformat().replace("+00:00", "Z")


T = TypeVar("T")


@attrs.frozen(kw_only=True)
class _Space:
    id: str
    name: str


@attrs.frozen(kw_only=True)
class _OfWorkspace:
    workspace_id: str | None


@attrs.frozen(kw_only=True)
class _OfCreator:
    creator_user_id: str | None


@attrs.frozen(kw_only=True)
class _SavedFinding:
    rule: str
    severity: str
    sentence: str
    hash: str | None = None
    name: str | None = None
    workspace_id: str | None = None
    workspace: str | None = None


@attrs.frozen(kw_only=True)
class _Saved:
    """What `AuditReport.to_dict()` gives, as far as its types can be checked at once."""

    scope: str
    now: Timestamp
    started: Timestamp
    finished: Timestamp
    seconds: float
    by: str | None
    complete: bool
    partial: bool
    refetched: int
    pages: int
    requests: int
    workspaces: list[_Space]
    totals: Totals
    by_workspace: list[Any]
    by_creator: list[Any]
    findings: list[_SavedFinding]
    errors: list[AuditFailure]
    skipped: list[str]
    keys: list[APIKey]


_PLAIN: Final = (
    "scope", "now", "started", "finished", "seconds", "by", "complete", "partial", "refetched",
    "pages", "requests", "errors", "skipped", "keys",
)  # fmt: skip


def load_report(path: str | os.PathLike[str]) -> AuditReport:
    """Read a saved report; raises `ConfigurationError` that names the file and what is wrong."""
    where = Path(path)
    try:
        content = read_file(where)
    except ConfigurationError as error:
        problem = error.message
    else:
        try:
            return _parse_report(content)
        except ConfigurationError as error:
            problem = f"is no saved report: {error.message}"
        except ValueError as error:
            problem = f"is {error}"
    raise ConfigurationError(f"{where} {problem}")


def _parse_report(content: bytes) -> AuditReport:
    """Parse a saved report; raises `ConfigurationError`, and `ValueError` for what is no JSON.

    msgspec reads the two long lists straight into records. It takes only what is exactly right; the
    careful road, which takes ten times as long, reads everything else and explains what is wrong.
    """
    try:
        parts = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        share = _Shared()
        keys = [share(key) for key in _records(parts.pop("keys"), APIKey)]
        findings = [share(finding) for finding in _records(parts.pop("findings"), Finding)]
    except (ValueError, KeyError, RecursionError):
        return report_from(_json.parse(content))
    if not keys_in_utc(keys):
        return report_from(_json.parse(content))
    head = {name: _json.parse(bytes(part)) for name, part in parts.items()}
    short = report_from(head | {"keys": [], "findings": []})
    return attrs.evolve(short, keys=keys, findings=findings)


def _records(part: msgspec.Raw, type_: type[T]) -> Iterator[T]:
    decode = msgspec.json.Decoder(type_).decode
    for record in msgspec.json.decode(part, type=list[msgspec.Raw]):
        yield decode(record)


class _Shared:
    """Makes equal strings of records one object, which halves the memory of a report.

    An audit's findings hold the very strings of their keys; parsed ones have their own.
    """

    def __init__(self) -> None:
        self._strings: dict[str, str] = {}

    def __call__(self, record: T) -> T:
        for name in _STRINGS[type(record)]:
            value = getattr(record, name)
            if value is not None:
                # The record is frozen for others, and nobody else has it yet.
                object.__setattr__(record, name, self._strings.setdefault(value, value))
        return record


_STRINGS: Final[Mapping[type, Sequence[str]]] = {
    APIKey: ("hash", "name", "workspace_id", "creator_user_id", "limit_reset"),
    Finding: ("hash", "name", "workspace_id", "workspace", "rule", "sentence"),
}


def report_from(document: object) -> AuditReport:
    """Read what `AuditReport.to_dict()` gave; raises `ConfigurationError`."""
    plain = as_object(document)
    version = plain.get("schema")
    if not isinstance(version, int) or isinstance(version, bool):
        raise ConfigurationError("it has no schema number")
    if version > SCHEMA:
        raise ConfigurationError(f"it has schema {version}, and this version reads up to {SCHEMA}")
    try:
        return _report(plain, structure(_Saved, plain))
    except ResponseValidationError as error:
        problem = error.message.replace("response", "report")
    raise ConfigurationError(problem)


def _report(plain: Mapping[str, Any], saved: _Saved) -> AuditReport:
    if saved.scope not in SCOPES:
        raise ConfigurationError(f"report.scope: expected {', '.join(SCOPES)}")
    findings = [
        _finding(one, as_object(raw).get("figures"))
        for one, raw in zip(saved.findings, plain["findings"], strict=True)
    ]
    return AuditReport(
        **{name: getattr(saved, name) for name in _PLAIN},
        findings=findings,
        counts=_counts(plain.get("counts"), "counts"),
        severities={
            severity_of(word): count
            for word, count in _counts(plain.get("severities"), "severities").items()
        },
        totals=_as_of(saved.totals, saved.now),
        by_workspace={
            structure(_OfWorkspace, raw).workspace_id: _as_of(structure(Totals, raw), saved.now)
            for raw in saved.by_workspace
        },
        by_creator={
            structure(_OfCreator, raw).creator_user_id: _as_of(structure(Totals, raw), saved.now)
            for raw in saved.by_creator
        },
        workspaces={space.id: space.name for space in saved.workspaces},
    )


def _finding(saved: _SavedFinding, figures: object) -> Finding:
    known: dict[str, Figure] = {
        name: value
        for name, value in as_object(figures).items()
        if value is None or isinstance(value, (str, int, float))
    }
    return Finding(**attrs.asdict(saved), figures=known)


def _counts(document: object, where: str) -> dict[str, int]:
    counts = as_object(document)
    if not all(type(count) is int for count in counts.values()):
        raise ConfigurationError(f"report.{where}: expected numbers")
    return counts


def _as_of(totals: Totals, now: datetime) -> Totals:
    totals.now = now
    return totals


COMPARISON_SCHEMA: Final = 1
"""The version of `Comparison.to_dict()`."""


@attrs.frozen(kw_only=True)
class KeyChange:
    """One field of one key, before and after."""

    hash: str
    name: str
    """The newer one."""
    workspace_id: str | None
    """The newer one."""
    field: str
    """Such as `limit`, as `APIKey` has it."""
    old: str | float | bool | datetime | None
    new: str | float | bool | datetime | None


@attrs.frozen(kw_only=True)
class KeySpend:
    """What a key spent between the two reports, USD."""

    hash: str
    name: str
    workspace_id: str | None
    usage: float
    """Of the account's credits."""
    byok_usage: float
    """Of the owner's provider keys."""


@attrs.frozen(kw_only=True)
class Comparison:
    """What changed from an older report to a newer one.

    A key is said to be created or deleted only if both reports looked where it is. Without
    `complete` a key may have been missed by one of them.
    """

    old: datetime
    """When the older audit began (UTC)."""
    new: datetime
    """When the newer audit began (UTC)."""
    complete: bool
    """Whether both reports are."""
    created: Sequence[APIKey]
    deleted: Sequence[APIKey]
    """As they were."""
    enabled: Sequence[APIKey]
    disabled: Sequence[APIKey]
    limits: Sequence[KeyChange]
    """Changes of `limit`, `limit_reset` and `include_byok_in_limit`."""
    renamed: Sequence[KeyChange]
    moved: Sequence[KeyChange]
    """Changes of `workspace_id`."""
    expiries: Sequence[KeyChange]
    """Changes of `expires_at`."""
    spend: Sequence[KeySpend]
    """Keys that spent anything, the most first; what a deleted key spent at last is unknown."""
    usage: float
    """USD of the account's credits that all those spent."""
    byok_usage: float
    """USD of provider keys that all those spent."""
    findings_new: Sequence[Finding]
    findings_gone: Sequence[Finding]
    workspaces: Mapping[str, str]
    """Names by id, of both reports."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed, money spent included."""
        return not any(getattr(self, name) for name in _LISTS)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data; `schema` is its version."""
        return _with_lists(comparison_document(self))


def comparison_document(changed: Comparison) -> dict[str, Any]:
    """Return `changed.to_dict()` with iterators in place of its long lists."""
    return {
        "schema": COMPARISON_SCHEMA,
        "old": instant(changed.old),
        "new": instant(changed.new),
        "complete": changed.complete,
        "usage": changed.usage,
        "byok_usage": changed.byok_usage,
        "workspaces": [{"id": id_, "name": name} for id_, name in changed.workspaces.items()],
        **{name: map(to_dict, getattr(changed, name)) for name in _LISTS},
    }


_LISTS: Final = (
    "created", "deleted", "enabled", "disabled", "limits", "renamed", "moved", "expiries", "spend",
    "findings_new", "findings_gone",
)  # fmt: skip


def compare(old: AuditReport, new: AuditReport) -> Comparison:
    """Describe what changed from one report to another; `AuditReport.load` reads saved ones."""
    before = {key.hash: key for key in old.keys}
    after = {key.hash: key for key in new.keys}
    both = [
        (was, key)
        for hash, key in after.items()
        if (was := before.get(hash)) is not None and was != key
    ]
    created = [key for key in new.keys if key.hash not in before and old.covers(key.workspace_id)]
    spend = sorted(_spend(both, created), key=lambda each: -(each.usage + each.byok_usage))
    return Comparison(
        old=old.started,
        new=new.started,
        complete=old.complete and new.complete,
        created=created,
        deleted=[key for key in old.keys if key.hash not in after and new.covers(key.workspace_id)],
        enabled=[key for was, key in both if was.disabled and not key.disabled],
        disabled=[key for was, key in both if key.disabled and not was.disabled],
        limits=_changes(both, "limit", "limit_reset", "include_byok_in_limit"),
        renamed=_changes(both, "name"),
        moved=_changes(both, "workspace_id"),
        expiries=_changes(both, "expires_at"),
        spend=spend,
        usage=_money.total(each.usage for each in spend),
        byok_usage=_money.total(each.byok_usage for each in spend),
        findings_new=_only_in(new, old),
        findings_gone=_only_in(old, new),
        workspaces={**old.workspaces, **new.workspaces},
    )


def _changes(both: Iterable[tuple[APIKey, APIKey]], *fields: str) -> list[KeyChange]:
    return [
        KeyChange(
            hash=key.hash,
            name=key.name,
            workspace_id=key.workspace_id,
            field=field,
            old=getattr(was, field),
            new=getattr(key, field),
        )
        for was, key in both
        for field in fields
        if _money.differ(getattr(was, field), getattr(key, field))
    ]


def _spend(both: Iterable[tuple[APIKey, APIKey]], created: Iterable[APIKey]) -> Iterable[KeySpend]:
    pairs: list[tuple[APIKey | None, APIKey]] = [*both, *((None, key) for key in created)]
    for was, key in pairs:
        usage = _money.difference(key.usage, was.usage if was else 0)
        byok = _money.difference(key.byok_usage, was.byok_usage if was else 0)
        if usage or byok:
            yield KeySpend(
                hash=key.hash,
                name=key.name,
                workspace_id=key.workspace_id,
                usage=usage,
                byok_usage=byok,
            )


def _only_in(report: AuditReport, other: AuditReport) -> list[Finding]:
    """Return the findings that the other report would have too, if nothing had changed."""
    known = set(map(_identity, other.findings))
    return [
        finding
        for finding in report.findings
        if _identity(finding) not in known and other.covers(finding.workspace_id)
    ]


def _identity(finding: Finding) -> tuple[str | None, ...]:
    place = finding.hash or finding.workspace_id
    return finding.rule, finding.severity, place
