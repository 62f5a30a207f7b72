"""Reading the table of `bulk`: CSV or NDJSON, to parameters by name."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import attrs

from openrouter_async import _json
from openrouter_async._operations import CreateKeys, UpdateKeys
from openrouter_async.bulk_changes import Action
from openrouter_async.cli._exits import CommandError
from openrouter_async.report import plain

_LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a table."""
_NONE: Final = frozenset({"null", "none"})


def read_items(path: Path, action: Action) -> list[dict[str, Any]]:
    """Read the rows of a table; raises `CommandError` that names the line."""
    text = _text(path)
    is_json = text.lstrip()[:1] == "{"
    rows = _from_json(text) if is_json else _from_csv(text)
    if action in (Action.DISABLE, Action.DELETE):
        return [{"hash": row.get("hash")} for _, row in rows]
    takes: Any = CreateKeys if action is Action.CREATE else UpdateKeys
    known = {field.name for field in attrs.fields(takes)} - {"external"}
    for line, row in rows:
        for name in row:
            if name not in known:
                raise CommandError(f"line {line}: no parameter {plain(str(name))!r} of {action}")
    return [row for _, row in rows]


def _text(path: Path) -> str:
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with path.open("rb") as file:
                data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise CommandError(f"{path}: too large")
        return data.decode("utf-8-sig")
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
    raise CommandError(f"line {line}: {name} cannot be {plain(text)!r}")


def _flag(text: str) -> bool:
    return {"true": True, "false": False, "yes": True, "no": False}[text.casefold()]


_CONVERTERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "limit": float,
    "disabled": _flag,
    "include_byok_in_limit": _flag,
}
