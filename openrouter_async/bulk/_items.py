"""Turn a caller's arguments into checked items, before anything is sent."""

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
    """Check the params of creates; raises `InvalidRequestError`, which names the index."""
    return _items(
        Action.CREATE, [_params_from(CreateKeys, n, key) for n, key in _numbered("keys", keys)]
    )


def updates(changes: Iterable[Mapping[str, Any]]) -> list[Item]:
    """Check the params of updates; raises `InvalidRequestError`, also for a duplicate key."""
    params = [
        _params_from(UpdateKeys, number, each) for number, each in _numbered("changes", changes)
    ]
    items = _items(Action.UPDATE, params)
    first: dict[str, int] = {}
    for item in items:
        if first.setdefault(item.subject, item.index) != item.index:
            # Two changes of one key would run concurrently, in no certain order.
            expected = f"a different key than in [{first[item.subject]}]"
            _checks.refuse(f"[{item.index}].hash", expected)
    return items


def of_hashes(action: Action, hashes: Iterable[str]) -> list[Item]:
    """Check hashes; a duplicate will be processed only once."""
    numbered = list(_numbered("hashes", hashes))
    if action is Action.DISABLE:
        return _items(action, [UpdateKeys(hash=hash, disabled=True) for _, hash in numbered])
    return _items(action, [KeyHash(hash=hash) for _, hash in numbered])


def _numbered(name: str, items: object) -> Iterable[tuple[int, Any]]:
    # A mapping would be iterated by its keys, a str by its characters.
    if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Iterable):
        _checks.refuse(name, "an iterable with one item for each key")
    return enumerate(cast("Iterable[object]", items))


def _params_from(takes: type[T], number: int, params: object) -> T:
    """Build an operation's params from a mapping; raises `InvalidRequestError`."""
    fields: Any = attrs.fields(cast("Any", takes))
    known = [field.name for field in fields]
    needed = [field.name for field in fields if field.default is attrs.NOTHING]
    if not isinstance(params, Mapping):
        _checks.refuse(f"[{number}]", "a mapping of parameters")
    values = dict(cast("Mapping[str, Any]", params))
    for name in values:
        if name not in known:
            # A name that is no identifier may be a secret in the wrong place: do not show it.
            shown = name if isinstance(name, str) and name.isidentifier() else "name"
            _checks.refuse(f"[{number}].{shown}", f"one of {', '.join(known)}")
    for name in needed:
        if name not in values:
            place = f"[{number}].{name}"
            raise InvalidRequestError(f"{place} is required", parameter=place)
    external = values.get("external")
    if isinstance(external, Mapping) and isinstance(external.get("api_key"), str):
        values["external"] = {**external, "api_key": Secret(external["api_key"])}
    return takes(**values)


def _items(action: Action, params: list[Any]) -> list[Item]:
    seen: Counter[str] = Counter()
    first: dict[str, int] = {}
    items: list[Item] = []
    for index, each in enumerate(params):
        fingerprint = _fingerprint(action, index, each)
        first.setdefault(fingerprint, index)
        seen[fingerprint] += 1
        # Equal creates are wanted, each making a key; any other duplicate would do the same again.
        repeated = seen[fingerprint] > 1 and action is not Action.CREATE
        items.append(
            Item(
                index=index,
                action=action,
                subject=each.name if action is Action.CREATE else each.hash,
                params=each,
                id=f"{fingerprint}-{seen[fingerprint]}",
                duplicate_of=first[fingerprint] if repeated else None,
            )
        )
    return items


def _fingerprint(action: Action, index: int, params: Any) -> str:
    """Return a hash of the request, excluding any secret; raises `InvalidRequestError`.

    It is written to the outcomes file, so it must stay the same between versions.
    """
    operation: Any = _OPERATIONS[action]
    try:
        compose(operation, params)
    except InvalidRequestError as error:
        error.message = f"[{index}]: {error.message}"
        error.parameter = f"[{index}].{error.parameter}" if error.parameter else f"[{index}]"
        raise
    user = ""
    if action is Action.CREATE and params.external:
        external = _checks.external("external", params.external)
        user, params = external["user"], attrs.evolve(params, external=OMITTED)
    request = compose(operation, params)
    text = f"{action} {request.target} {user} ".encode() + (request.body or b"")
    return hashlib.sha256(text).hexdigest()[:24]
