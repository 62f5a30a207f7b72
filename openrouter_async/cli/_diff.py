"""What changed between two audits that were saved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openrouter_async.audit import AuditReport, compare
from openrouter_async.cli._exits import Exit
from openrouter_async.cli._groups import command
from openrouter_async.cli._sheet import RecordFormat, RecordOption, opened
from openrouter_async.report import json_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "diff")(diff)


def diff(
    old: Annotated[Path, typer.Argument(help="The older report.", metavar="OLD")],
    new: Annotated[Path, typer.Argument(help="The newer report.", metavar="NEW")],
    form: RecordOption = RecordFormat.TABLE,
    output: Annotated[
        Path | None,
        typer.Option(help="A file, instead of standard output.", metavar="PATH"),
    ] = None,
    top: Annotated[int, typer.Option(help="How many rows a table shows.", metavar="N", min=0)] = 20,
    *,
    everything: Annotated[
        bool, typer.Option("--all", "-a", metavar="", help="Show every row.")
    ] = False,
) -> int:
    """Compare two saved audits: keys, limits, spend and findings.

    Both files come from openrouter-keys audit --save FILE (or --format json). No
    request is made.

    [bold]Examples[/bold]

    openrouter-keys audit --save today.json
    openrouter-keys diff yesterday.json today.json
    openrouter-keys diff yesterday.json today.json --format json
    """
    changed = compare(AuditReport.load(old), AuditReport.load(new))
    with opened(output) as destination:
        if form is RecordFormat.JSON:
            destination.write(json_text(changed.to_dict()))
        else:
            from openrouter_async.report._changes import comparison_parts
            from openrouter_async.report._tables import render

            parts = comparison_parts(changed, top=None if everything else top)
            width, colour = destination.width, destination.colour
            destination.show(render(parts, width=width, colour=colour))
    return Exit.DONE
