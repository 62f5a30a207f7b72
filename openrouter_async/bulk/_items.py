"""From what a caller passes to checked items; a wrong one is named before anything is sent."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar, cast

import attrs

from openrouter_async import _checks
from openrouter_async._operations import (
    CREATE,
    DELETE,
    UPDATE,
    CreateKeys,
    KeyHash,
    Operation,
    UpdateKeys,
    compose,
)
from openrouter_async._options import OMITTED
from openrouter_async.bulk._outcomes import Action, Item
from openrouter_async.errors import InvalidRequestError
from openrouter_async.secret import Secret

T = TypeVar("T")

_OPERATIONS: Final[Mapping[Action, Operation[Any, Any]]] = {
    Action.CREATE: CREATE,
    Action.UPDATE: UPDATE,
    Action.DISABLE: UPDATE,
    Action.DELETE: DELETE,
}


def creates(keys: Iterable[Mapping[str, Any]]) -> list[Item]:
    """Check the parameters of creates; raises `InvalidRequestError` that names the place."""
    return _items(Action.CREATE, [_made(CreateKeys, n, key) for n, key in _numbered("keys", keys)])


def updates(changes: Iterable[Mapping[str, Any]]) -> list[Item]:
    """Check the parameters of updates; a key that stands there twice is refused."""
    given = [_made(UpdateKeys, number, each) for number, each in _numbered("changes", changes)]
    items = _items(Action.UPDATE, given)
    first: dict[str, int] = {}
    for item in items:
        if first.setdefault(item.subject, item.index) != item.index:
            expected = f"of another key than that of [{first[item.subject]}]"
            _checks.refuse(f"[{item.index}].hash", expected)
    return items


def of_hashes(action: Action, hashes: Iterable[str]) -> list[Item]:
    """Check hashes; one that stands there twice is done once."""
    given = list(_numbered("hashes", hashes))
    if action is Action.DISABLE:
        return _items(action, [UpdateKeys(hash=hash, disabled=True) for _, hash in given])
    return _items(action, [KeyHash(hash=hash) for _, hash in given])


def _numbered(name: str, given: object) -> Iterable[tuple[int, Any]]:
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        _checks.refuse(name, "an iterable with one item for each key")
    return enumerate(cast("Iterable[object]", given))


def _made(takes: type[T], number: int, given: object) -> T:
    """Make parameters of a mapping; raises `InvalidRequestError`."""
    fields: Any = attrs.fields(cast("Any", takes))
    known = [field.name for field in fields]
    needed = [field.name for field in fields if field.default is attrs.NOTHING]
    if not isinstance(given, Mapping):
        _checks.refuse(f"[{number}]", "a mapping of parameters")
    values = dict(cast("Mapping[str, Any]", given))
    for name in values:
        if name not in known:
            shown = name if isinstance(name, str) and name.isidentifier() else "name"
            _checks.refuse(f"[{number}].{shown}", f"one of {', '.join(known)}")
    for name in needed:
        if name not in values:
            _checks.refuse(f"[{number}].{name}", "given")
    external = values.get("external")
    if isinstance(external, Mapping) and isinstance(external.get("api_key"), str):
        values["external"] = {**external, "api_key": Secret(external["api_key"])}
    return takes(**values)


def _items(action: Action, given: list[Any]) -> list[Item]:
    seen: Counter[str] = Counter()
    first: dict[str, int] = {}
    items: list[Item] = []
    for index, each in enumerate(given):
        mark = _mark_of(action, index, each)
        first.setdefault(mark, index)
        seen[mark] += 1
        items.append(
            Item(
                index=index,
                action=action,
                subject=each.name if action is Action.CREATE else each.hash,
                given=each,
                id=f"{mark}-{seen[mark]}",
                twin_of=first[mark] if seen[mark] > 1 and action is not Action.CREATE else None,
            )
        )
    return items


def _mark_of(action: Action, index: int, given: Any) -> str:
    """Return a mark of what is to be done, without any secret; raises `InvalidRequestError`."""
    operation: Any = _OPERATIONS[action]
    try:
        compose(operation, given)
    except InvalidRequestError as error:
        error.message = f"[{index}]: {error.message}"
        error.parameter = f"[{index}].{error.parameter}" if error.parameter else f"[{index}]"
        raise
    user = ""
    if action is Action.CREATE and given.external:
        external = _checks.external("external", given.external)
        user, given = external["user"], attrs.evolve(given, external=OMITTED)
    request = compose(operation, given)
    text = f"{action} {request.target} {user} ".encode() + (request.body or b"")
    return hashlib.sha256(text).hexdigest()[:24]
