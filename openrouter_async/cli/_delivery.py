"""How a new key's plaintext reaches its owner, whatever fails after the key exists."""

from __future__ import annotations

from typing import Any

import attrs

from openrouter_async._converter import to_dict
from openrouter_async.cli._exits import CommandError, Exit
from openrouter_async.cli._messages import tell, warn
from openrouter_async.cli._output import Destination, OutputGoneError
from openrouter_async.cli._sinks import rescue
from openrouter_async.models import APIKey, CreateKeysResponse
from openrouter_async.provisioning import ProvisionedKey
from openrouter_async.report import created_line, json_text, plain


@attrs.frozen
class Delivery:
    """Where plaintext and record go; the way is open before the key exists."""

    _destination: Destination
    _as_json: bool = attrs.field(default=False, kw_only=True, alias="as_json")

    def deliver(self, answer: CreateKeysResponse) -> int:
        """Hand the plaintext over first, then tell of it; raises `CommandError`."""
        record = None if answer.problem else answer.data
        self._print(answer, record)
        if record is None:
            warn(f"its record could not be read ({plain(str(answer.problem))})")
            return Exit.INCOMPLETE
        return Exit.DONE

    def tell_of(self, key: ProvisionedKey) -> int:
        """Tell of a key whose plaintext is where it belongs."""
        if key.data is not None:
            tell(created_line(key.data))
        tell(f"the key is in {key.sink}; it is not shown again")
        if self._as_json:
            document = {"data": _document(key.data), "key_stored_in": key.sink}
            self._destination.write(json_text(document))
        elif key.sink != "standard output":
            self._destination.write(f"{key.hash}\n" if key.hash else "")
        return Exit.DONE if key.data else Exit.INCOMPLETE

    def print_key(self, key: ProvisionedKey) -> None:
        """Write the plaintext; raises `OSError`."""
        problem = None
        try:
            self._destination.write(f"{key.secret.reveal()}\n")
        except CommandError as error:
            problem = OSError(error.message)
        except OutputGoneError:
            problem = OSError("nobody reads it")
        if problem is not None:
            raise problem

    def _print(self, answer: CreateKeysResponse, record: APIKey | None) -> None:
        text = f"{answer.key}\n"
        if self._as_json:
            text = json_text({"data": _document(record), "key": answer.key})
        try:
            self._destination.write(text)
        except (CommandError, OutputGoneError):
            failed = True
        else:
            failed = False
        if failed:
            raise _saved_elsewhere("standard output could not be written", answer, record)
        if record is not None:
            tell(created_line(record))
        tell("the key is on standard output; it is not shown again")


def _document(record: APIKey | None) -> dict[str, Any] | None:
    return to_dict(record) if record else None


def _saved_elsewhere(
    failure: str, answer: CreateKeysResponse, record: APIKey | None
) -> CommandError:
    """Save the plaintext where it can be found; there is a key now, and no other copy."""
    hash = record.hash if record else ""
    place = rescue(answer.secret, hash)
    made = created_line(record) if record else "a key was created"
    if place is not None:
        advice = [made, f"the key was saved to {place}, which only you can read"]
    else:
        advice = [made, "the key could not be saved anywhere and is lost; end it with:"]
        advice.append(f"  openrouter-keys delete {plain(hash) or 'HASH'}")
    return CommandError(failure, Exit.FAILED, advice)
