"""The commands audit and diff."""

from __future__ import annotations

import enum
import gc
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import typer

from openrouter_async.audit import AuditProgress, AuditReport, AuditRun, Severity, compare
from openrouter_async.audit._report import comparison_document, report_document
from openrouter_async.cli._console import audit_progress, tell, warn
from openrouter_async.cli._exits import Exit
from openrouter_async.cli._output import Destination
from openrouter_async.cli._session import Connection
from openrouter_async.cli._sheet import Format, RecordFormat, RecordOption, Sheet, opened
from openrouter_async.client import AsyncOpenRouter
from openrouter_async.report import (
    Column,
    audit_end,
    audit_line,
    audit_rows,
    count,
    csv_head,
    csv_rows,
    each_row,
    html,
    json_line,
    json_pieces,
    keys_by_urgency,
    require_html,
    sort_rows,
)

_RULES: Final = "Rules"


class GroupBy(enum.StrEnum):
    """What totals are grouped by."""

    WORKSPACE = "workspace"
    CREATOR = "creator"
    NAME = "name"
    EXTERNAL_USER = "external-user"
    NONE = "none"


@attrs.frozen(kw_only=True)
class Scope:
    """Options that say what to audit, how fast, and where to save the report."""

    workspace: Annotated[
        list[str] | None,
        typer.Option(
            "--workspace",
            "-w",
            help="Audit only this one: id, slug or name; may be repeated.",
            metavar="ID",
        ),
    ] = None
    concurrency: Annotated[
        int, typer.Option(help="Requests in flight at once.", metavar="N", min=1)
    ] = 16
    save: Annotated[
        Path | None,
        typer.Option(
            help="Also write the report as JSON, for openrouter-keys diff.", metavar="PATH"
        ),
    ] = None
    rate: Annotated[float | None, typer.Option(help="Maximum requests a second.", metavar="N")] = (
        None
    )


@attrs.frozen(kw_only=True)
class Rules:
    """Options that define what is a finding, and which findings fail the command."""

    policy: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file with rules, thresholds and severities.",
            metavar="PATH",
            rich_help_panel=_RULES,
        ),
    ] = None
    registry: Annotated[
        Path | None,
        typer.Option(
            help="A file with the hashes of the expected keys, one per line.",
            metavar="PATH",
            rich_help_panel=_RULES,
        ),
    ] = None
    fail_on: Annotated[
        Severity | None,
        typer.Option(
            help="Exit with 1 for findings at or above this severity: info, warning or critical.",
            metavar="SEVERITY",
            rich_help_panel=_RULES,
        ),
    ] = None


@attrs.frozen(kw_only=True)
class Layout:
    """Options that say what a table shows."""

    group_by: Annotated[
        GroupBy,
        typer.Option(
            help="Group totals by workspace, creator, name, external-user or none.",
            metavar="WHAT",
            rich_help_panel="Output",
        ),
    ] = GroupBy.WORKSPACE
    top: Annotated[
        int,
        typer.Option(
            help="Number of keys that a table shows, the most severe first.",
            metavar="N",
            min=0,
            rich_help_panel="Output",
        ),
    ] = 20
    all: Annotated[
        bool,
        typer.Option(
            "--all",
            "-a",
            metavar="",
            help="Show every key, group and finding.",
            rich_help_panel="Output",
        ),
    ] = False


def audit(scope: Scope, rules: Rules, sheet: Sheet, layout: Layout, connection: Connection) -> int:
    """Audit every key of every workspace: totals, and findings by severity.

    Ctrl-C ends the audit with a partial report, marked as such; with --output it
    goes to PATH.partial. Grouping by name uses the part before the first
    separator. NDJSON is written as keys arrive, in constant memory.

    [bold]Examples[/bold]

    openrouter-keys audit --sandbox
    openrouter-keys audit --fail-on critical --policy policy.toml
    openrouter-keys audit --format csv --output keys.csv --sort usage_monthly
    openrouter-keys audit --format html --output report.html
    openrouter-keys audit -w production --group-by creator --all
    openrouter-keys audit --save today.json; openrouter-keys diff old.json today.json

    [bold]Exit codes[/bold]

    0, or 1 with findings at or above --fail-on; 4 if something could not be read;
    130 after Ctrl-C. For the others see openrouter-keys --help.
    """
    # Fail on bad options before a file is opened or a request is sent.
    sheet.chosen(findings=True)
    sheet.sort_column()
    if sheet.format is Format.HTML:
        require_html()
    with ExitStack() as stack:
        destination = stack.enter_context(opened(sheet.output))
        saved = stack.enter_context(opened(scope.save)) if scope.save else None
        session = stack.enter_context(connection.open(max_connections=max(100, scope.concurrency)))
        with audit_progress(quiet=connection.verbose > 0) as progress:
            run = _prepared(session.client, scope, rules, sheet, progress)
            coroutine = _stream(run, destination) if _streams(sheet) else run.finish()
            try:
                session.run(coroutine)
            except KeyboardInterrupt:
                destination.partial = True
        report = run.report()
        _write(report, sheet, layout, destination)
        if saved is not None:
            saved.partial = destination.partial
            saved.write_pieces(json_pieces(report_document(report)))
    return _concluded(report, rules, sheet)


def _streams(sheet: Sheet) -> bool:
    return sheet.format is Format.NDJSON and sheet.sort is None


def _prepared(
    client: AsyncOpenRouter,
    scope: Scope,
    rules: Rules,
    sheet: Sheet,
    progress: Callable[[AuditProgress], None] | None,
) -> AuditRun:
    """Build the run; reads policy and registry, raises `ConfigurationError` before any request."""
    return AuditRun(
        client,
        workspaces=scope.workspace or None,
        policy=rules.policy,
        concurrency=scope.concurrency,
        rate=scope.rate,
        registry=rules.registry,
        progress=progress,
        keep=bool(rules.registry or scope.save) or not _streams(sheet),
    )


async def _stream(run: AuditRun, destination: Destination) -> None:
    """Write keys as they arrive."""
    names: Mapping[str, str] | None = None
    while not run.ended:
        keys = await run.next_page()
        # The workspaces are known once the first page has been read.
        names = run.report().workspaces if names is None else names
        lines = [json_line(audit_line(key, run.policy.check(key, run.now), names)) for key in keys]
        destination.write("".join(lines))


def _write(report: AuditReport, sheet: Sheet, layout: Layout, destination: Destination) -> None:
    if sheet.format is Format.JSON:
        destination.write_pieces(json_pieces(report_document(report)))
        return
    column = sheet.sort_column()
    if sheet.format is Format.CSV:
        columns = sheet.chosen(findings=True)
        destination.write(csv_head(columns))
        rows = each_row(report, report.keys)
        rows = iter(sort_rows(rows, column)) if column else rows
        destination.write_pieces(csv_rows([row], columns) for row in rows)
    elif sheet.format is Format.HTML:
        whole = sort_rows(audit_rows(report), column) if column else None
        destination.write(html(report, rows=whole))
    elif sheet.format is Format.NDJSON:
        if column:  # the others were written as they came
            destination.write_pieces(map(json_line, _sorted_lines(report, column)))
        destination.write_pieces(map(json_line, audit_end(report)))
    else:
        _show(report, sheet, layout, destination)


def _sorted_lines(report: AuditReport, column: Column) -> Iterator[dict[str, Any]]:
    found = report.by_key()
    for row in sort_rows(each_row(report, report.keys), column):
        yield audit_line(row.key, found.get(row.key.hash, ()), report.workspaces)


def _show(report: AuditReport, sheet: Sheet, layout: Layout, destination: Destination) -> None:
    from openrouter_async.report._audit_tables import audit_parts
    from openrouter_async.report._tables import render

    width = destination.width
    column = sheet.sort_column()
    rows = each_row(report, report.keys)
    parts = audit_parts(
        report,
        [row.key for row in sort_rows(rows, column)] if column else keys_by_urgency(report),
        sheet.chosen(findings=True),
        group_by=None if layout.group_by is GroupBy.NONE else layout.group_by.value,
        top=None if layout.all else layout.top,
        width=width,
    )
    destination.show(render(parts, width=width, colour=destination.colour))


def _concluded(report: AuditReport, rules: Rules, sheet: Sheet) -> int:
    """Write to standard error what the format may not show, and return the exit code."""
    if report.partial:
        place = f"; it is in {sheet.output}.partial" if sheet.output else ""
        tell(f"interrupted: the report is partial{place}")
        return Exit.INTERRUPTED
    if not report.complete:
        warn("the report is incomplete: " + _why(report))
    elsewhere = sum(finding.name is None for finding in report.findings)
    if elsewhere and sheet.format is Format.CSV:
        tell(f"{count(elsewhere, 'finding')} not about a key in the CSV; --format json has all")
    if rules.fail_on is not None and report.reaches(rules.fail_on):
        return Exit.FINDINGS
    unread = report.errors or (report.workspaces and not report.complete)
    return Exit.INCOMPLETE if unread else Exit.DONE


def _why(report: AuditReport) -> str:
    if report.errors:
        return f"{count(len(report.errors), 'workspace')} could not be read to the end"
    if not report.workspaces:
        return "the service lists no workspace but the default one"
    return "keys changed during the audit"


def diff(
    old: Annotated[Path, typer.Argument(help="The older report.", metavar="OLD")],
    new: Annotated[Path, typer.Argument(help="The newer report.", metavar="NEW")],
    form: RecordOption = RecordFormat.TABLE,
    output: Annotated[
        Path | None,
        typer.Option(help="Write to this file instead of standard output.", metavar="PATH"),
    ] = None,
    top: Annotated[
        int, typer.Option(help="Number of rows that a table shows.", metavar="N", min=0)
    ] = 20,
    *,
    everything: Annotated[
        bool, typer.Option("--all", "-a", metavar="", help="Show every row.")
    ] = False,
) -> int:
    """Compare two saved audits: keys, limits, spend and findings.

    Both files are written by openrouter-keys audit --save FILE (or --format json).
    No request is made.

    [bold]Examples[/bold]

    openrouter-keys audit --save today.json
    openrouter-keys diff yesterday.json today.json
    openrouter-keys diff yesterday.json today.json --format json
    """
    with _collector_paused():
        changed = compare(AuditReport.load(old), AuditReport.load(new))
    with opened(output) as destination:
        if form is RecordFormat.JSON:
            destination.write_pieces(json_pieces(comparison_document(changed)))
        else:
            from openrouter_async.report._comparison import comparison_parts
            from openrouter_async.report._tables import render

            parts = comparison_parts(changed, top=None if everything else top)
            width, colour = destination.width, destination.colour
            destination.show(render(parts, width=width, colour=colour))
    return Exit.DONE


@contextmanager
def _collector_paused() -> Generator[None]:
    """Pause the cycle collector, which would take a third of the time and find nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
