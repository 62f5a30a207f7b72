"""Build and run commands: expand groups of shared options, turn errors into exit codes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, get_type_hints

import attrs
import typer

from openrouter_async.cli._console import complain, set_up_logging, tell, tell_details
from openrouter_async.cli._exits import CommandError, Exit, explain
from openrouter_async.cli._output import OutputGoneError
from openrouter_async.cli._session import Connection
from openrouter_async.cli._values import QuickCommand
from openrouter_async.errors import OpenRouterError
from openrouter_async.report import plain

Command: TypeAlias = "Callable[..., int | None]"


def typer_command(name: str, function: Command) -> Any:
    """Make a command of a function, which returns the exit code, None for 0.

    A parameter whose type is an attrs class becomes one option per field.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    app.command(name, cls=QuickCommand)(_expanded(function))
    return typer.main.get_command(app)


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

    def command(**params: Any) -> int:
        grouped = {
            name: group(**{field.name: params.pop(field.name) for field in attrs.fields(group)})
            for name, group in groups.items()
        }
        return run_guarded(function, params | grouped)

    # typer builds the options from the signature and the annotations.
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


def run_guarded(function: Callable[..., int | None], params: Mapping[str, Any]) -> int:
    """Run a command and return its exit code; every `Exception` becomes a message and a code."""
    connection = next((value for value in params.values() if isinstance(value, Connection)), None)
    verbosity = connection.verbose if connection else 0
    set_up_logging(verbosity)
    try:
        return function(**params) or Exit.DONE
    except CommandError as error:
        complain(error)
        return error.code
    except OpenRouterError as error:
        explained = explain(error)
        complain(explained)
        tell_details(error, verbosity)
        return explained.code
    except OutputGoneError:
        return Exit.BROKEN_PIPE
    except KeyboardInterrupt as error:
        tell(f"interrupted{''.join(f': {plain(note)}' for note in _notes_on(error))}")
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001  # a bug gets a one-line message and a code too
        kind = type(error).__name__
        complain(CommandError(f"this is a bug: {kind} (-vvv shows where)", Exit.BUG))
        tell_details(error, verbosity)
        return Exit.BUG


def _notes_on(error: BaseException) -> list[str]:
    """Return the notes that the client added to the cancellation or the interruption."""
    # asyncio.Runner raises KeyboardInterrupt while it handles the CancelledError with the notes.
    causes = (error, error.__context__)
    return [note for cause in causes for note in getattr(cause, "__notes__", ())]
