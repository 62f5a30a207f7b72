"""An audit as one HTML file that can be mailed: no requests, no libraries, no secrets.

The charts are bars drawn here: tables whose cells hold an inline SVG of two or three rectangles.
Plot libraries were considered. Those that draw in the browser need a megabyte of script and `eval`,
which the page's Content-Security-Policy forbids; those that draw in Python produce pictures whose
text neither wraps on a phone nor follows the reader's colours, and that a screen reader cannot
read. Ranked amounts and counts need only bars. Jinja2 (extra `report`) fills and escapes the
template; style and script are files beside it, and the policy allows exactly these two by their
SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from openrouter_async._version import __version__
from openrouter_async.audit import AuditReport, Finding, Severity
from openrouter_async.errors import ConfigurationError
from openrouter_async.report._audit_rows import (
    audit_rows,
    by_rule,
    by_urgency,
    explained,
    grouped,
    headline,
)
from openrouter_async.report._columns import KeyRow
from openrouter_async.report._format import count, minute, usd
from openrouter_async.report._html._charts import WINDOWS, Chart, distribution, fullest, spending
from openrouter_async.report._html._data import page_data, script_json
from openrouter_async.report._html._facets import Facets, facets_of, label_of, shown

if TYPE_CHECKING:
    from jinja2 import Template

_MAX_GROUPS: Final = 50


def html(
    report: AuditReport, *, title: str = "API key audit", rows: Sequence[KeyRow] | None = None
) -> str:
    """Return the report as an HTML page; needs the extra `report`.

    Args:
        report: The result of `client.audit()`.
        title: The page's heading.
        rows: The keys in the page's order. None: the most severe findings first.

    Raises:
        ConfigurationError: Jinja2 is not installed.

    """
    template = _template()
    if rows is None:
        rows = by_urgency(audit_rows(report))
    facets = facets_of(report)
    style, script = _asset("page.css"), _asset("page.js")
    return template.render(
        title=shown(title),
        policy=_policy(style, script),
        style=_markup(style),
        script=_markup(script),
        data=_markup(script_json(page_data(report, rows, facets))),
        version=__version__,
        counted=count,
        report=report,
        subtitle=headline(report),
        by=label_of(report.by) if report.by else None,
        remarks=_remarks(report),
        rules=_rules(report, rows),
        windows=WINDOWS,
        spending={window: spending(report, facets, window) for window in WINDOWS},
        has_byok=report.totals.byok_usage > 0,
        charts=_key_charts(rows, facets),
        groups=grouped(report, [row.key for row in rows], "workspace")[:_MAX_GROUPS],
        severities=list(reversed(Severity)),
    )


def require_html() -> None:
    """Raise `ConfigurationError` if Jinja2 is not installed."""
    _template()


@cache
def _template() -> Template:
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError:
        pass
    else:
        environment = Environment(
            autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        environment.filters.update(usd=usd, round_usd=_round_usd, minute=minute, shown=shown)
        return environment.from_string(_asset("page.html.jinja"))
    raise ConfigurationError("HTML needs the extra: pip install 'openrouter_async[report]'")


@cache
def _asset(name: str) -> str:
    return (files("openrouter_async.report._html") / "assets" / name).read_text("utf-8")


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704  # our own files, and JSON without < > &


def _policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy: only the page's own style and script."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _round_usd(amount: float) -> str:
    """Format an amount, without cents from $10,000 on."""
    return usd(amount) if abs(amount) < 10_000 else usd(round(amount)).removesuffix(".00")


def _remarks(report: AuditReport) -> list[str]:
    """Return the warnings that the reader needs before the figures."""
    remarks = []
    if report.partial:
        remarks.append("The audit was stopped before its end: keys are missing.")
    elif not report.complete:
        remarks.append("The audit is incomplete: keys may be missing.")
    for failure in report.errors:
        place = failure.workspace or failure.workspace_id or "default workspace"
        remarks.append(f"{place} could not be read to its end: {failure.message}")
    if report.skipped:
        remarks.append(f"Rules that could not run: {', '.join(report.skipped)}.")
    if report.totals.keys > len(report.keys):
        remarks.append("The keys were not kept: only totals are available.")
    return [shown(remark) for remark in remarks]


def _rules(report: AuditReport, rows: Sequence[KeyRow]) -> list[tuple[Severity, str, int, str]]:
    """Return severity, rule, number of findings and meaning, the most severe first."""
    return [
        (severity, shown(rule), len(findings), _meaning(rule, findings))
        for severity, found in by_rule(report, (row.key for row in rows)).items()
        for rule, findings in sorted(found.items(), key=lambda each: -len(each[1]))
    ]


def _meaning(rule: str, findings: Sequence[Finding]) -> str:
    return explained(rule).replace("`", "") or shown(findings[0].sentence)


def _key_charts(rows: Sequence[KeyRow], facets: Facets) -> list[Chart]:
    return [
        distribution("How full limits are", facets.fullness, rows),
        fullest(rows),
        distribution("Keys by age", facets.age, rows),
        distribution("Keys by last use", facets.use, rows),
    ]
