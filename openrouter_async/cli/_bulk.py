"""The command bulk, and the reader of its table of changes."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final, cast

import attrs
import typer

from openrouter_async import _json
from openrouter_async._operations import CreateKeys, UpdateKeys
from openrouter_async._options import Waiting
from openrouter_async.bulk import Action, BulkRun, Outcome, Status
from openrouter_async.cli._console import tell, wants_motion, warn
from openrouter_async.cli._exits import CommandError, Exit
from openrouter_async.cli._output import Destination, standard_output
from openrouter_async.cli._rotate import JournalOption
from openrouter_async.cli._session import Connection
from openrouter_async.cli._sinks import sink_for
from openrouter_async.client import AsyncOpenRouter
from openrouter_async.provisioning import ProvisionedKey, Sink
from openrouter_async.report import json_line, plain

_MAX_BYTES: Final = 64 * 1024 * 1024
"""Largest table accepted."""
_NONE: Final = frozenset({"null", "none"})


def read_items(path: Path, action: Action) -> list[dict[str, Any]]:
    """Read the rows of a table as params; raises `CommandError` naming the line."""
    text = _text(path)
    is_json = text.lstrip()[:1] == "{"
    rows = _from_json(text) if is_json else _from_csv(text)
    if action in (Action.DISABLE, Action.DELETE):
        return [{"hash": row.get("hash")} for _, row in rows]
    params: Any = CreateKeys if action is Action.CREATE else UpdateKeys
    known = {field.name for field in attrs.fields(params)} - {"external"}
    for line, row in rows:
        for name in row:
            if name not in known:
                raise CommandError(f"line {line}: {action} has no parameter {plain(str(name))!r}")
    return [row for _, row in rows]


def _text(path: Path) -> str:
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise CommandError(f"{path}: too large")
        return data.decode("utf-8-sig")  # spreadsheets begin UTF-8 files with a BOM
    except OSError as error:
        problem = f"{path}: {error.strerror}"
    except UnicodeDecodeError:
        problem = f"{path}: not UTF-8"
    except ValueError:
        problem = "not a path"
    raise CommandError(problem)


def _from_json(text: str) -> list[tuple[int, dict[str, Any]]]:
    rows: list[tuple[int, dict[str, Any]]] = []
    for line, row in enumerate(text.splitlines(), 1):
        if row.strip():
            try:
                parsed: object = _json.parse(row.encode())
            except ValueError:
                parsed = None
            if not isinstance(parsed, dict):
                raise CommandError(f"line {line}: not a JSON object")
            rows.append((line, cast("dict[str, Any]", parsed)))
    return rows


def _from_csv(text: str) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    rows: list[tuple[int, dict[str, Any]]] = []
    broken = False
    try:
        for row in reader:
            # DictReader collects excess cells under None, and fills missing ones with None.
            if None in row or None in row.values():
                raise CommandError(f"line {reader.line_num}: more or fewer cells than the header")
            values = {name.strip(): cell.strip() for name, cell in row.items() if cell.strip()}
            rows.append((reader.line_num, _typed(reader.line_num, values)))
    except csv.Error:
        broken = True
    if broken:
        raise CommandError(f"line {reader.line_num}: not CSV")
    return rows


def _typed(line: int, values: Mapping[str, str]) -> dict[str, Any]:
    return {name: _cell(line, name, value) for name, value in values.items()}


def _cell(line: int, name: str, text: str) -> Any:
    convert = _CONVERTERS.get(name)
    if text.casefold() in _NONE and name != "name":
        return None
    if convert is None:
        return text
    try:
        return convert(text)
    except (ValueError, KeyError):
        pass
    raise CommandError(f"line {line}: invalid {name}: {plain(text)!r}")


def _flag(text: str) -> bool:
    return {"true": True, "false": False, "yes": True, "no": False}[text.casefold()]


_CONVERTERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "limit": float,
    "disabled": _flag,
    "include_byok_in_limit": _flag,
}


_TEMPLATE: Final = re.compile(r"\{(name|index)\}")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_\-]")


@attrs.frozen(kw_only=True)
class BulkOptions:
    """Options of bulk."""

    sink: Annotated[
        str | None,
        typer.Option(
            help="For create, where to store each key: file:PATH or dotenv:PATH:NAME, in which "
            "{name} and {index} are replaced by the key's own.",
            metavar="WHERE",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", metavar="", help="Change nothing; warn about wider privileges."),
    ] = False
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Record outcomes in this file, and skip what it records as done.",
            metavar="PATH",
        ),
    ] = None
    concurrency: Annotated[
        int, typer.Option(help="Keys processed at once.", metavar="N", min=1)
    ] = 10
    rate: Annotated[
        float | None,
        typer.Option(help="Maximum requests a second, including retries.", metavar="N"),
    ] = None
    ndjson: Annotated[
        bool, typer.Option("--ndjson", metavar="", help="Write outcomes as JSON, one per line.")
    ] = False
    journal_dir: JournalOption = None


def bulk(
    action: Annotated[
        Action, typer.Argument(help="create, update, disable or delete.", show_default=False)
    ],
    table: Annotated[
        Path, typer.Argument(help="CSV with a header, or NDJSON; - reads standard input.")
    ],
    how: BulkOptions,
    connection: Connection,
) -> int:
    """Create, update, disable or delete many keys.

    Columns of the table are named like the parameters: name, limit, limit_reset,
    … and hash. In CSV, an empty cell is omitted and null means none. Ctrl-C ends
    the run within 2 s and shows the outcomes so far; with --resume the rest can be
    done later.

    [bold]Examples[/bold]

    openrouter-keys bulk update keys.csv --dry-run
    openrouter-keys bulk create new.ndjson --sink file:keys/{name}.key --resume done.ndjson
    openrouter-keys bulk delete hashes.csv --resume done.ndjson
    """
    if (action is Action.CREATE) != (how.sink is not None):
        raise CommandError("--sink is required for create and not allowed otherwise")
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
    client: AsyncOpenRouter, action: Action, items: Sequence[Mapping[str, Any]], how: BulkOptions
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
    raise OSError("bulk does not print keys")


def _sinks(spec: str, items: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], Sink]:
    """Return a function that builds the sink of an item; raises `CommandError` for a bad spec."""
    if spec == "stdout" or not _TEMPLATE.search(spec):
        raise CommandError(
            "--sink must contain {name} or {index} for bulk, such as file:keys/{name}.key"
        )

    def sink(item: Mapping[str, Any]) -> Sink:
        parts = {"name": _UNSAFE.sub("_", str(item["name"])), "index": str(item["index"])}
        return sink_for(_TEMPLATE.sub(lambda found: parts[found[1]], spec), _refuse_to_print)

    # Build every sink once before any request, so that a bad or shared place changes nothing.
    places = [sink({"name": item.get("name"), "index": n}).where for n, item in enumerate(items)]
    if len(set(places)) < len(places):
        raise CommandError("--sink: several keys would be stored in the same place; use {index}")
    return sink


def _progress(_: Outcome, done: int, total: int) -> None:
    sys.stderr.write(f"\r{done}/{total}" + ("\n" if done == total else ""))
    sys.stderr.flush()


def _tell_wait(waiting: Waiting) -> None:
    sys.stderr.write(f"\rwaiting: {waiting.reason}\n")
    sys.stderr.flush()


def _show(destination: Destination, outcomes: Sequence[Outcome], how: BulkOptions) -> None:
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
