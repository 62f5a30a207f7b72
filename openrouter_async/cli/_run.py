"""What stands around every command: errors become one line and an exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openrouter_async.cli._exits import CommandError, Exit, explain
from openrouter_async.cli._messages import complain, set_up_logging, tell, tell_details
from openrouter_async.cli._output import OutputGoneError
from openrouter_async.cli._session import Connection
from openrouter_async.errors import OpenRouterError
from openrouter_async.report import plain


def run_guarded(function: Callable[..., int | None], given: Mapping[str, Any]) -> int:
    """Run a command and give its exit code; nothing but a bug of Python itself passes."""
    connection = next((value for value in given.values() if isinstance(value, Connection)), None)
    verbosity = connection.verbose if connection else 0
    set_up_logging(verbosity)
    try:
        return function(**given) or Exit.DONE
    except CommandError as error:
        complain(error)
        return error.code
    except OpenRouterError as error:
        told = explain(error)
        complain(told)
        tell_details(error, verbosity)
        return told.code
    except OutputGoneError:
        return Exit.BROKEN_PIPE
    except KeyboardInterrupt as error:
        tell(f"interrupted{''.join(f': {plain(note)}' for note in _notes_on(error))}")
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001  # a bug is told like everything else
        kind = type(error).__name__
        complain(CommandError(f"this is a bug: {kind} (-vvv shows where)", Exit.BUG))
        tell_details(error, verbosity)
        return Exit.BUG


def _notes_on(error: BaseException) -> list[str]:
    """Give what the client noted on the cancellation that asyncio made an interruption of."""
    causes = (error, error.__context__)
    return [note for cause in causes for note in getattr(cause, "__notes__", ())]
