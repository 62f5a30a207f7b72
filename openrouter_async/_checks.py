"""The rules for what a caller may pass: each takes (parameter, value) and gives the wire's value.

A refused value is an `InvalidRequestError` that names the parameter and never shows the value,
since people do pass keys where hashes belong.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from openrouter_async.errors import InvalidRequestError
from openrouter_async.models import External, LimitReset
from openrouter_async.secret import Secret, looks_like_key

_HASH: Final = re.compile(r"[A-Za-z0-9_\-]{8,128}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]|[\ud800-\udfff]")
_RESETS: Final = frozenset(LimitReset)
_EXTERNAL_KEY_LENGTH: Final = 32
_BIGGEST_PAGE: Final = 100
_LONGEST_TEXT: Final = 10_000
"""A bound of ours, since the service documents none: no file's content passes for a name."""


def refuse(parameter: str, expected: str) -> NoReturn:
    raise InvalidRequestError(f"{parameter} must be {expected}", parameter=parameter)


def key_hash(parameter: str, value: object) -> str:
    """Check a key's hash; it becomes part of a URL, so that a key itself must not pass."""
    if isinstance(value, str) and looks_like_key(value):
        refuse(parameter, "a key's hash, not the key itself: it would be sent in a URL and logged")
    if not isinstance(value, str) or _HASH.fullmatch(value) is None:
        refuse(parameter, "a key's hash: 8 to 128 letters, digits, `_` or `-`")
    return value


def text(parameter: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        refuse(parameter, "a str of at least 1 character")
    if len(value) > _LONGEST_TEXT:
        refuse(parameter, f"a str of at most {_LONGEST_TEXT:,} characters")
    if _CONTROL.search(value):
        refuse(parameter, "a str without control characters")
    return str.__str__(value)  # a subclass cannot be encoded


def identifier(parameter: str, value: object) -> str:
    """Check a workspace's id, which becomes part of a URL; a `uuid.UUID` will do."""
    if isinstance(value, str) and looks_like_key(value):
        refuse(parameter, "a workspace's id, not a key: it would be sent in a URL and logged")
    return str(value) if isinstance(value, uuid.UUID) else text(parameter, value)


def flag(parameter: str, value: object) -> bool:
    """Check a bool; `"true"` and `"false"` pass, since older descriptions say str."""
    if value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        refuse(parameter, "a bool")
    return value


def strict_flag(parameter: str, value: object) -> bool:
    if not isinstance(value, bool):
        refuse(parameter, "a bool")
    return value


def usd(parameter: str, value: object) -> float:
    """Check an amount; NaN and infinity would make an unlimited key."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(parameter, "a number of USD, or None for no limit")
    if not 0 <= value <= _LARGEST_AMOUNT:
        refuse(parameter, "a finite number of USD of at least 0, or None for no limit")
    return int(value) if isinstance(value, int) else float(value)  # NumPy's float is a subclass


_LARGEST_AMOUNT: Final = 1e15
"""USD; up to here a float still tells the cents."""


def limit_reset(parameter: str, value: object) -> str:
    if not isinstance(value, str) or value not in _RESETS:
        refuse(parameter, "daily, weekly, monthly, or None for no reset")
    return str(value)


def whole_number(parameter: str, value: object) -> int:
    """Check a count of at least 0; digits in a str pass, since older descriptions say str."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _TOO_MANY:
        refuse(parameter, "an integer of at least 0")
    return int(value)


_TOO_MANY: Final = 10**15


def at_least_one(parameter: str, value: object) -> int:
    """Check how many things may happen at once."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        refuse(parameter, "an integer of at least 1")
    return int(value)


def page_size(parameter: str, value: object) -> int:
    size = whole_number(parameter, value)
    if not 1 <= size <= _BIGGEST_PAGE:
        refuse(parameter, f"an integer from 1 to {_BIGGEST_PAGE}")
    return size


def instant(parameter: str, value: object) -> str:
    """Check a point in time; the service takes UTC with seconds and refuses everything else."""
    expected = "an aware datetime or an ISO 8601 str with a zone"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        refuse(parameter, expected)
    try:
        utc = value.astimezone(UTC)
    except OverflowError:
        utc = None
    if utc is None:
        refuse(parameter, expected)
    return utc.isoformat().replace("+00:00", "Z")


def external(parameter: str, value: object) -> dict[str, str]:
    """Check a partner's identity: `External`, or a mapping with `user` and perhaps `api_key`."""
    given: dict[Any, Any] = {}
    if isinstance(value, External):
        given = {"user": value.user, "api_key": value.api_key}
    elif isinstance(value, Mapping):
        given = dict(value)
    if not {"user"} <= set(given) <= {"user", "api_key"}:
        refuse(parameter, "an External, or a mapping with user and perhaps api_key")
    user = text(f"{parameter}.user", given["user"])
    key = given.get("api_key")
    if key is None:
        return {"user": user}
    plain = key.reveal() if isinstance(key, Secret) else key
    if not isinstance(plain, str) or len(plain) < _EXTERNAL_KEY_LENGTH:
        refuse(f"{parameter}.api_key", f"a str of at least {_EXTERNAL_KEY_LENGTH} characters")
    return {"user": user, "api_key": text(f"{parameter}.api_key", plain)}
