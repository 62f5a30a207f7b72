"""Reading a saved report; everything in it is checked, and an error names the path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import attrs

from openrouter_async import _json
from openrouter_async._careful import structure
from openrouter_async._json import as_object
from openrouter_async.audit._findings import Figure, Finding, severity_of
from openrouter_async.audit._reading import read_file
from openrouter_async.audit._report import SCHEMA, SCOPES, AuditFailure, AuditReport
from openrouter_async.audit._totals import Totals
from openrouter_async.errors import ConfigurationError, ResponseValidationError
from openrouter_async.models import APIKey, Timestamp

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
            return report_from(_json.parse(content))
        except ConfigurationError as error:
            problem = f"is no saved report: {error.message}"
        except ValueError as error:
            problem = f"is {error}"
    raise ConfigurationError(f"{where} {problem}")


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
        problem = error.message.replace("answer", "report")
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
    known = {
        name: cast("Figure", value)
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
