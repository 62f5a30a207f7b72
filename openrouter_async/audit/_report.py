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
"""The version of `AuditReport.to_dict()`; it changes when readers of the old one would fail."""


SCOPES: Final = ("all", "chosen", "default")
"""What an audit covers."""


@attrs.frozen(kw_only=True)
class AuditFailure:
    """A workspace that could not be read completely."""

    workspace_id: str | None
    """None: the default workspace, requested without its id."""
    workspace: str | None
    """Its name; None if unknown."""
    error: str
    """The class of the error, such as `InternalServerResponseError`."""
    message: str
    status_code: int | None = None
    request_id: str | None = None

    @classmethod
    def of(
        cls, error: OpenRouterError, workspace_id: str | None, workspace: str | None
    ) -> AuditFailure:
        """Build a failure from an error."""
        return cls(
            workspace_id=workspace_id,
            workspace=workspace,
            error=type(error).__name__,
            message=str(error),
            status_code=error.status_code,
            request_id=error.request_id,
        )


def _length(things: Sized) -> str:
    return f"<{len(things)}>"


@attrs.frozen(kw_only=True)
class AuditReport:
    """Every key of the audited workspaces, and the findings about them."""

    keys: Sequence[APIKey] = attrs.field(repr=_length)
    """By workspace, newest first in each; empty if the run did not keep them."""
    findings: Sequence[Finding] = attrs.field(repr=_length)
    """The most severe first."""
    counts: Mapping[str, int]
    """The number of findings of each rule, kept or not."""
    severities: Mapping[Severity, int]
    """The number of findings of each severity, kept or not, the most severe first."""
    totals: Totals = attrs.field(repr=False)
    by_workspace: Mapping[str | None, Totals] = attrs.field(repr=_length)
    """By workspace id, in the service's order; None: unknown to the service."""
    by_creator: Mapping[str | None, Totals] = attrs.field(repr=_length)
    """By `creator_user_id`; None: unknown to the service."""
    scope: str
    """`all` workspaces, those `chosen`, or the `default` one if the service hides the others."""
    workspaces: Mapping[str, str]
    """The names of the audited workspaces by id; empty if the service hides them."""
    now: datetime
    """The time that the rules used (UTC)."""
    started: datetime
    """When the audit began (UTC)."""
    finished: datetime
    """When it ended, or when this partial report was made (UTC)."""
    seconds: float
    """The duration of the audit."""
    by: str | None
    """The masked label of the management key; None if `GET /key` failed."""
    complete: bool
    """Whether no key can be missing: all workspaces were read, and all page seams verified."""
    partial: bool
    """Whether the audit was still in progress, or was ended early."""
    refetched: int
    """The number of pages that were fetched again because a list had changed."""
    pages: int
    """The number of pages of keys that were read."""
    requests: int
    """The number of calls, including those for workspaces and the key's label."""
    errors: Sequence[AuditFailure]
    """Workspaces that could not be read."""
    skipped: Sequence[str]
    """Rules that could not run because keys were not kept or may be missing."""

    @property
    def worst(self) -> Severity | None:
        """The highest severity; None without findings."""
        return next((severity for severity, count in self.severities.items() if count), None)

    def reaches(self, severity: Severity | str) -> bool:
        """Return whether there is a finding of at least this severity."""
        return self.worst is not None and self.worst.rank >= Severity(severity).rank

    def by_key(self) -> dict[str, list[Finding]]:
        """Return the findings of each key that has any by hash, the most severe first."""
        found: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            if finding.hash is not None:
                found[finding.hash].append(finding)
        return dict(found)

    def covers(self, workspace_id: str | None) -> bool:
        """Return whether the report would contain a key of this workspace."""
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
        """Return a flat dict for each key, for any data frame library.

        Values are str, float, bool, aware UTC datetimes or None, of one type in each column.
        """
        columns = columns_of(self, self.keys)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_pandas(self) -> pd.DataFrame:
        """Return `rows()` as a data frame; raises `ConfigurationError` without the extra `pandas`.

        Columns are nullable: `string`, `Float64`, `boolean`, and UTC datetimes.
        """
        from openrouter_async.audit._notebook import to_pandas

        return to_pandas(columns_of(self, self.keys))

    def chart(self, by: str = "workspace", window: str = "monthly") -> alt.Chart:
        """Chart spending, by credits and by provider keys (BYOK), the highest first.

        `by` is `workspace`, `creator_user_id`, `name` or another column of names, `window` is
        `daily`, `weekly`, `monthly` or `ever`. Raises `ConfigurationError` for others, and without
        the extra `pandas`.
        """
        from openrouter_async.audit._notebook import chart

        return chart(self, by, window)

    def _repr_html_(self) -> str:
        """Return totals, findings by rule and the keys that need attention, for notebooks."""
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
    """Return a time in the service's format."""
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
    """The result of `AuditReport.to_dict()`, as far as its types can be checked at once."""

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
    """Read a saved report; raises `ConfigurationError` with the file and the problem."""
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
    """Parse a saved report; raises `ConfigurationError`, or `ValueError` if it is not JSON.

    msgspec decodes the two long lists straight into records. It accepts only exact types; cattrs,
    which takes ten times as long, reads everything else and explains what is wrong.
    """
    try:
        parts = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        share = _Shared()
        keys = [share(key) for key in _records(parts.pop("keys"), APIKey)]
        findings = [share(finding) for finding in _records(parts.pop("findings"), Finding)]
    except (ValueError, KeyError, msgspec.MsgspecError, RecursionError):
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
    """Replaces equal strings of records by one object, which halves the memory of a report.

    In an audit, findings refer to the strings of their keys; decoded ones have copies.
    """

    def __init__(self) -> None:
        self._strings: dict[str, str] = {}

    def __call__(self, record: T) -> T:
        for name in _STRINGS[type(record)]:
            value = getattr(record, name)
            if value is not None:
                # Records are frozen for their users, but no one else has this one yet.
                object.__setattr__(record, name, self._strings.setdefault(value, value))
        return record


_STRINGS: Final[Mapping[type, Sequence[str]]] = {
    APIKey: ("hash", "name", "workspace_id", "creator_user_id", "limit_reset"),
    Finding: ("hash", "name", "workspace_id", "workspace", "rule", "sentence"),
}


def report_from(document: object) -> AuditReport:
    """Build a report from the result of `to_dict()`; raises `ConfigurationError`."""
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
    """The newer value."""
    workspace_id: str | None
    """The newer value."""
    field: str
    """A field of `APIKey`, such as `limit`."""
    old: str | float | bool | datetime | None
    new: str | float | bool | datetime | None


@attrs.frozen(kw_only=True)
class KeySpend:
    """Spending of a key between the two reports, USD."""

    hash: str
    name: str
    workspace_id: str | None
    usage: float
    """Charged to the account's credits."""
    byok_usage: float
    """Charged to the owner's provider keys."""


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
    """Whether both reports are complete."""
    created: Sequence[APIKey]
    deleted: Sequence[APIKey]
    """Their records in the older report."""
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
    """Keys that spent anything, the most first; the last spending of deleted keys is unknown."""
    usage: float
    """Sum of `spend`, USD charged to the account's credits."""
    byok_usage: float
    """Sum of `spend`, USD charged to provider keys."""
    findings_new: Sequence[Finding]
    findings_gone: Sequence[Finding]
    workspaces: Mapping[str, str]
    """The names of both reports' workspaces by id."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed, including spending."""
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
    """Return the changes from one report to another; `AuditReport.load` reads saved ones."""
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
    """Return the findings that the other report lacks although it covers their workspaces."""
    known = set(map(_identity, other.findings))
    return [
        finding
        for finding in report.findings
        if _identity(finding) not in known and other.covers(finding.workspace_id)
    ]


def _identity(finding: Finding) -> tuple[str | None, ...]:
    place = finding.hash or finding.workspace_id
    return finding.rule, finding.severity, place
