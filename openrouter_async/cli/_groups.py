"""Options that several commands share: an attrs class in a signature stands for its fields.

    @command(app)
    def show(hash: Annotated[str, typer.Argument()], connection: Connection) -> None: ...

takes every field of `Connection` as an option, and is given the `Connection` made of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, get_type_hints

import attrs
import typer

from openrouter_async.cli._run import run_guarded

Command: TypeAlias = "Callable[..., int | None]"
AnyCommand = TypeVar("AnyCommand", bound=Command)


def command(
    app: typer.Typer, name: str | None = None, **settings: Any
) -> Callable[[AnyCommand], AnyCommand]:
    """Register a function as a command; what it returns is the exit code, None for 0."""

    def register(function: AnyCommand) -> AnyCommand:
        app.command(name, **settings)(_expanded(function))
        return function

    return register


def _expanded(function: Command) -> Callable[..., int]:
    signature = inspect.signature(function, eval_str=True)
    groups = {
        parameter.name: parameter.annotation
        for parameter in signature.parameters.values()
        if attrs.has(parameter.annotation)
    }
    parameters = [
        expanded
        for parameter in signature.parameters.values()
        for expanded in (
            _parameters_of(groups[parameter.name])
            if parameter.name in groups
            else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        )
    ]

    def command(**given: Any) -> int:
        made = {
            name: group(**{field.name: given.pop(field.name) for field in attrs.fields(group)})
            for name, group in groups.items()
        }
        return run_guarded(function, given | made)

    command.__doc__ = function.__doc__
    command.__name__ = function.__name__
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # inspect reads it
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _parameters_of(group: type[attrs.AttrsInstance]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in attrs.fields(group)
    ]
