"""The command that changes many keys, by a table of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import typer

from openrouter_async._options import Waiting
from openrouter_async.bulk_changes import Action, BulkRun, Outcome, Status
from openrouter_async.cli._exits import CommandError, Exit
from openrouter_async.cli._groups import command
from openrouter_async.cli._messages import tell, warn
from openrouter_async.cli._output import Destination, standard_output
from openrouter_async.cli._progress import wants_motion
from openrouter_async.cli._rotate import JournalOption
from openrouter_async.cli._session import Connection
from openrouter_async.cli._sinks import sink_for
from openrouter_async.cli._table_of_changes import read_items
from openrouter_async.client import AsyncOpenRouter
from openrouter_async.provisioning import ProvisionedKey, Sink
from openrouter_async.report import json_line, plain

_TEMPLATE: Final = re.compile(r"\{(name|index)\}")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_\-]")


@attrs.frozen(kw_only=True)
class How:
    """How to go about it."""

    sink: Annotated[
        str | None,
        typer.Option(
            help="For create, where each key goes: file:PATH or dotenv:PATH:NAME, in which "
            "{name} and {index} stand for the key's.",
            metavar="WHERE",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", metavar="", help="Change nothing; flag what widens a privilege."),
    ] = False
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Remember outcomes in this file; what it says is done is not done again.",
            metavar="PATH",
        ),
    ] = None
    concurrency: Annotated[int, typer.Option(help="Keys at once.", metavar="N", min=1)] = 10
    rate: Annotated[
        float | None,
        typer.Option(help="Requests a second at most, retries included.", metavar="N"),
    ] = None
    ndjson: Annotated[
        bool, typer.Option("--ndjson", metavar="", help="Write outcomes as JSON, one a line.")
    ] = False
    journal_dir: JournalOption = None


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "bulk")(bulk)


def bulk(
    action: Annotated[
        Action, typer.Argument(help="create, update, disable or delete.", show_default=False)
    ],
    table: Annotated[
        Path, typer.Argument(help="CSV with a header, or NDJSON; - reads standard input.")
    ],
    how: How,
    connection: Connection,
) -> int:
    """Create, update, disable or delete many keys.

    The table has the parameters by name: name, limit, limit_reset, … and hash.
    In CSV an empty cell is left out, and null means none. Ctrl-C ends it within
    2 s with what was done; with --resume the rest can be done later.

    [bold]Examples[/bold]

    openrouter-keys bulk update keys.csv --dry-run
    openrouter-keys bulk create new.ndjson --sink file:keys/{name}.key --resume done.ndjson
    openrouter-keys bulk delete hashes.csv --resume done.ndjson
    """
    if (action is Action.CREATE) != (how.sink is not None):
        raise CommandError("bulk create takes --sink, and nothing else does")
    items = read_items(table, action)
    with ExitStack() as stack:
        destination = stack.enter_context(standard_output())
        session = stack.enter_context(connection.open(max_connections=how.concurrency))
        run = _run(session.client, action, items, how)
        try:
            session.run(run.finish())
        except KeyboardInterrupt:
            _show(destination, run.outcomes, how)
            tell(f"interrupted: {run.summary}")
            return Exit.INTERRUPTED
        _show(destination, run.outcomes, how)
        tell(run.summary or "nothing to do")
        return _exit_code(run.outcomes)


def _run(
    client: AsyncOpenRouter, action: Action, items: Sequence[Mapping[str, Any]], how: How
) -> BulkRun:
    keys = client.api_keys
    common: dict[str, Any] = {
        "concurrency": how.concurrency,
        "rate": how.rate,
        "on_wait": _tell_wait if wants_motion() else None,
        "dry_run": how.dry_run,
        "progress": _progress if wants_motion() else None,
        "outcomes_file": how.resume,
    }
    if how.sink is not None:
        sinks = _sinks(how.sink, items)
        return keys.create_many(items, sink=sinks, journal_dir=how.journal_dir, **common)
    if action is Action.UPDATE:
        return keys.update_many(items, **common)
    hashes = [item["hash"] for item in items]
    if action is Action.DISABLE:
        return keys.disable_many(hashes, **common)
    return keys.delete_many(hashes, **common)


def _refuse_to_print(_: ProvisionedKey) -> None:
    raise OSError("many keys are not printed")


def _sinks(spec: str, items: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], Sink]:
    """Make the factory of sinks, and each of them once; raises `CommandError` for the spec."""
    if spec == "stdout" or not _TEMPLATE.search(spec):
        raise CommandError("--sink of bulk needs {name} or {index}, such as file:keys/{name}.key")

    def sink(item: Mapping[str, Any]) -> Sink:
        parts = {"name": _UNSAFE.sub("_", str(item["name"])), "index": str(item["index"])}
        return sink_for(_TEMPLATE.sub(lambda found: parts[found[1]], spec), _refuse_to_print)

    places = [sink({"name": item.get("name"), "index": n}).where for n, item in enumerate(items)]
    if len(set(places)) < len(places):
        raise CommandError("--sink: several keys would go to the same place; use {index}")
    return sink


def _progress(_: Outcome, now: int, of: int) -> None:
    sys.stderr.write(f"\r{now}/{of}" + ("\n" if now == of else ""))
    sys.stderr.flush()


def _tell_wait(waiting: Waiting) -> None:
    sys.stderr.write(f"\rwaiting: {waiting.reason}\n")
    sys.stderr.flush()


def _show(destination: Destination, outcomes: Sequence[Outcome], how: How) -> None:
    for outcome in outcomes:
        if outcome.widens:
            warn(f"{plain(outcome.subject)}: {plain('; '.join(outcome.widens))}")
    if how.ndjson:
        destination.write("".join(json_line(_document(outcome)) for outcome in outcomes))
        return
    for outcome in outcomes:
        words = [outcome.status, plain(outcome.subject)]
        if outcome.hash and outcome.hash != outcome.subject:
            words.append(outcome.hash)
        words += [plain(each) for each in (outcome.sink, outcome.reason) if each]
        destination.show("\t".join(words) + "\n")


def _document(outcome: Outcome) -> dict[str, Any]:
    shown = ("index", "action", "subject", "status", "hash", "sink", "reason", "widens")
    return {name: getattr(outcome, name) for name in shown}


def _exit_code(outcomes: Sequence[Outcome]) -> int:
    statuses = {outcome.status for outcome in outcomes}
    unsure = [each for each in outcomes if each.status is Status.AMBIGUOUS]
    if any(each.action is Action.CREATE for each in unsure):
        return Exit.AMBIGUOUS
    if Status.FAILED in statuses or unsure:
        return Exit.INCOMPLETE if Status.OK in statuses else Exit.FAILED
    return Exit.DONE
