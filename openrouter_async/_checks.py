"""Checks of parameters: each function takes (parameter, value) and returns the value to send.

A rejected value raises an `InvalidRequestError` that names the parameter and never shows the value,
because users sometimes pass a key where its hash belongs.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from openrouter_async import _numbers
from openrouter_async.errors import InvalidRequestError
from openrouter_async.models import External, LimitReset
from openrouter_async.secret import Secret, looks_like_key

_HASH: Final = re.compile(r"(?!sk-)[A-Za-z0-9_\-]{8,128}")
_WORKSPACE_REF: Final = re.compile(r"[A-Za-z0-9_\-]{1,128}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]|[\ud800-\udfff]")
_RESETS: Final = frozenset(LimitReset)
_EXTERNAL_KEY_LENGTH: Final = 32
_BIGGEST_PAGE: Final = 100
_LONGEST_TEXT: Final = 10_000
"""Our own bound, because the service documents none: it catches a file's content as a name."""


def refuse(parameter: str, expected: str) -> NoReturn:
    """Raise an `InvalidRequestError` that says what the parameter must be."""
    raise InvalidRequestError(f"{parameter} must be {expected}", parameter=parameter)


def key_hash(parameter: str, value: object) -> str:
    """Check a key's hash; a key is rejected, because the value becomes part of a URL."""
    if type(value) is str and _HASH.fullmatch(value):  # nearly always, and on the path of a get
        return value
    plain = plain_text(value)
    if plain is not None and _HASH.fullmatch(plain):
        return plain
    if plain is not None and looks_like_key(plain):
        refuse(parameter, "a key's hash, not the key itself: it would be sent in a URL and logged")
    refuse(parameter, "a key's hash: 8 to 128 letters, digits, `_` or `-`")


def plain_text(value: object) -> str | None:
    """Return the plain text of a str, whatever a subclass overrides; None for anything else."""
    return str.__str__(value) if isinstance(value, str) else None


def text(parameter: str, value: object) -> str:
    """Check a text: not blank, no control characters, and not too long."""
    plain = plain_text(value)
    if plain is None or not plain.strip():
        refuse(parameter, "a str of at least 1 character")
    if len(plain) > _LONGEST_TEXT:
        refuse(parameter, f"a str of at most {_LONGEST_TEXT:,} characters")
    if _CONTROL.search(plain):
        refuse(parameter, "a str without control characters")
    return plain


def identifier(parameter: str, value: object) -> str:
    """Check a workspace's id, which becomes part of a URL; a `uuid.UUID` is accepted too."""
    plain = text(parameter, uuid.UUID.__str__(value) if isinstance(value, uuid.UUID) else value)
    if looks_like_key(plain):
        refuse(parameter, "a workspace's id, not a key: it would be sent in a URL and logged")
    return plain


def workspace_ref(parameter: str, value: object) -> str:
    """Check a workspace's id or slug, which becomes part of a URL; a `uuid.UUID` will do."""
    plain = identifier(parameter, value)
    if _WORKSPACE_REF.fullmatch(plain) is None:
        refuse(parameter, "a workspace's id or slug: letters, digits, `_` or `-`")
    return plain


def flag(parameter: str, value: object) -> bool:
    """Check a bool; accept `"true"` and `"false"`, because older API descriptions say str."""
    plain = plain_text(value)
    return plain == "true" if plain in ("true", "false") else strict_flag(parameter, value)


def strict_flag(parameter: str, value: object) -> bool:
    """Check a bool of Python or NumPy."""
    if not _numbers.is_flag(value):
        refuse(parameter, "a bool")
    return bool(value)


def usd(parameter: str, value: object) -> float:
    """Check a limit in USD; NaN and infinity would make an unlimited key."""
    amount = _numbers.real(value)
    if amount is None:
        refuse(parameter, "a number of USD, or None for no limit")
    # -0.0 too is sent as 0.
    if amount == 0:
        return 0
    if not _SMALLEST_LIMIT <= amount <= _LARGEST_LIMIT:
        bounds = f"{_SMALLEST_LIMIT:f} to {_LARGEST_LIMIT:,.0f}"
        refuse(parameter, f"0, or a finite number of USD from {bounds}, or None for no limit")
    return amount


_SMALLEST_LIMIT: Final = 1e-6
"""USD, our own bound: a smaller limit can buy nothing, so it must be a mistake."""
_LARGEST_LIMIT: Final = 1e12
"""USD, our own bound: a larger limit limits nothing."""


def limit_reset(parameter: str, value: object) -> str:
    """Check when a limit resets."""
    plain = plain_text(value)
    if plain is None or plain not in _RESETS:
        refuse(parameter, "daily, weekly, monthly, or None for no reset")
    return plain


def whole_number(parameter: str, value: object) -> int:
    """Check a count of at least 0; accept digits in a str, because older API descriptions do."""
    plain = plain_text(value)
    if plain is not None and plain.isascii() and plain.isdigit() and len(plain) < 16:
        return int(plain)
    count = _numbers.whole(value)
    if count is None or not 0 <= count < _TOO_MANY:
        refuse(parameter, "an integer of at least 0")
    return count


_TOO_MANY: Final = 10**15


def at_least_one(parameter: str, value: object) -> int:
    """Check a degree of concurrency."""
    count = _numbers.whole(value)
    if count is None or count < 1:
        refuse(parameter, "an integer of at least 1")
    return count


def page_size(parameter: str, value: object) -> int:
    """Check how many rows a page may have."""
    size = whole_number(parameter, value)
    if not 1 <= size <= _BIGGEST_PAGE:
        refuse(parameter, f"an integer from 1 to {_BIGGEST_PAGE}")
    return size


def instant(parameter: str, value: object) -> str:
    """Check a point in time; the service accepts only UTC with seconds."""
    try:
        utc = _utc(value)
    except Exception:  # noqa: BLE001  # pandas.NaT is a datetime that raises; any tzinfo may raise
        utc = None
    if utc is None:
        refuse(parameter, "an aware datetime or an ISO 8601 str with a zone")
    return utc


def _utc(value: object) -> str | None:
    plain = plain_text(value)
    moment = value if plain is None else datetime.fromisoformat(plain)
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        return None
    # The method of datetime itself, because a subclass may write another format.
    return datetime.isoformat(moment.astimezone(UTC)).replace("+00:00", "Z")


def external(parameter: str, value: object) -> dict[str, str]:
    """Check a partner's identity: an `External`, or a mapping with its fields."""
    fields: dict[Any, Any] = {}
    if isinstance(value, External):
        fields = {"user": value.user, "api_key": value.api_key}
    elif isinstance(value, Mapping):
        fields = dict(value)
    if not {"user"} <= fields.keys() <= {"user", "api_key"}:
        refuse(parameter, "an External, or a mapping with user and optionally api_key")
    checked = {"user": text(f"{parameter}.user", fields["user"])}
    key = fields.get("api_key")
    if key is not None:
        plain = plain_text(key.reveal() if isinstance(key, Secret) else key)
        if plain is None or len(plain) < _EXTERNAL_KEY_LENGTH:
            refuse(f"{parameter}.api_key", f"a str of at least {_EXTERNAL_KEY_LENGTH} characters")
        checked["api_key"] = text(f"{parameter}.api_key", plain)
    return checked
