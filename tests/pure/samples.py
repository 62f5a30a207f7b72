"""Answers of the service as values: shapes that were seen, and a record for tests to vary."""

import copy
import json
from typing import Any, Final

from hypothesis import settings
from multidict import CIMultiDict

from openrouter_async._responses import Response

FUZZ: Final = settings()
"""For properties over generated input: what the chosen profile says."""
MORE: Final = settings(max_examples=3 * FUZZ.max_examples)
"""For the properties that most depends on."""

KEY: Final = "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"
"""Has the shape of a key and opens nothing."""
ODD_KEY: Final = "QmFzZTY0+odd/shape==and.more"
"""A key as no pattern would find it."""
HASH: Final = "f01d52606dc8f0a8303a7b5cc3fa07109c2e346cec7c0a16b40de462992ce943"
WORKSPACE: Final = "0df9e665-d932-5740-b2c7-b52af166bc11"
NOW: Final = 1763683200.0
"""2025-11-21 00:00:00 UTC."""

USAGES: Final = tuple(
    f"{kind}usage{window}"
    for kind in ("", "byok_")
    for window in ("", "_daily", "_weekly", "_monthly")
)
_NO_USAGE: Final[dict[str, Any]] = dict.fromkeys(USAGES, 0)

RECORD: Final[dict[str, Any]] = {
    "hash": HASH,
    "name": "production",
    "label": "sk-or-v1-0e6...c96",
    "disabled": False,
    "limit": 500,
    "limit_remaining": 454.542594979,
    "limit_reset": "monthly",
    "include_byok_in_limit": False,
    **_NO_USAGE,
    "usage": 433.286754736,
    "usage_daily": 3.404645509,
    "usage_weekly": 3.404645509,
    "usage_monthly": 45.457405021,
    "created_at": "2025-08-24T10:30:00.123Z",
    "updated_at": None,
    "expires_at": None,
    "creator_user_id": "user_2dHFtVWx2n56w6HkM0000000000",
    "workspace_id": WORKSPACE,
    "external_user": None,
    "last_used_at": "2026-10-30T08:01:02Z",
}
"""A monthly key: its remaining limit is the limit minus this month's usage."""

OVERSPENT: Final[dict[str, Any]] = {
    "hash": "a01d52606dc8f0a8303a7b5cc3fa07109c2e346cec7c0a16b40de462992ce944",
    "name": "batch",
    "label": "sk-or-v1-1aa...0bb",
    "disabled": False,
    "limit": 1,
    "limit_remaining": -0.0369027621,
    "limit_reset": None,
    "include_byok_in_limit": True,
    **_NO_USAGE,
    "usage": 1.0369027621,
    "usage_monthly": 1.0369027621,
    "created_at": "2026-09-01T00:00:00+00:00",
    "updated_at": "2026-09-02T00:00:00Z",
    "expires_at": "2027-12-31T23:59:59Z",
    "creator_user_id": None,
    "workspace_id": WORKSPACE,
    "external_user": "customer-17",
    "last_used_at": None,
}
"""A key that spent more than its limit."""

OLD_RECORD: Final[dict[str, Any]] = {
    "created_at": "2025-02-19T20:52:27.363244+00:00",
    "updated_at": "2025-02-19T21:24:11.708154+00:00",
    "hash": "7364a2ab00000000000000000000000000000000000000000000000000001bf0",
    "label": "sk-or-v1-abc...123",
    "name": "Customer Key",
    "disabled": False,
    "limit": 10,
    "limit_remaining": 10,
    "limit_reset": None,
    "include_byok_in_limit": False,
    **_NO_USAGE,
}
"""An older shape: microseconds and +00:00, ints for amounts, none of the newer fields."""

CREATED: Final[dict[str, Any]] = {
    "data": {
        "hash": "b01d52606dc8f0a8303a7b5cc3fa07109c2e346cec7c0a16b40de462992ce945",
        "name": "My New API Key",
        "label": "sk-or-v1-d35...55d",
        "disabled": False,
        "limit": 0,
        "limit_remaining": 0,
        "limit_reset": None,
        "include_byok_in_limit": True,
        **_NO_USAGE,
        "created_at": "2025-08-24T10:30:00Z",
        "updated_at": None,
        "expires_at": None,
        "external_user": None,
        "creator_user_id": "user_2dHFtVWx2n56w6HkM0000000000",
        "workspace_id": WORKSPACE,
    },
    "key": KEY,
}

_DEPRECATED: Final = {"requests": -1, "interval": "10s", "note": "deprecated"}

CURRENT_KEYS: Final[dict[str, dict[str, Any]]] = {
    "2025-03, no windows": {
        "label": "sk-or-v1-0fa...240",
        "limit": None,
        "usage": 0.65017511,
        "limit_remaining": None,
        "is_free_tier": False,
        "rate_limit": {"requests": 40, "interval": "10s"},
    },
    "2026-08, ints for amounts": {
        "label": "sk-or-v1-xxx...xxx",
        "is_management_key": False,
        "is_provisioning_key": False,
        "limit": 5,
        "limit_reset": None,
        "limit_remaining": 4.218107879,
        "include_byok_in_limit": False,
        **_NO_USAGE,
        "usage": 0.781892121,
        "usage_weekly": 0.781892121,
        "usage_monthly": 0.781892121,
        "is_free_tier": False,
        "expires_at": None,
        "creator_user_id": None,
        "rate_limit": _DEPRECATED,
    },
    "2026-09, newer fields": {
        "label": "sk-or-v1-abc...def",
        "organization_id": None,
        "workspace_id": None,
        "allowed_data_regions": ["global"],
        "free_model_daily_requests": {"limit": 1000, "used": 0, "remaining": 1000},
        "limit": 0.01,
        "limit_remaining": 0.01,
        "limit_reset": None,
        "include_byok_in_limit": False,
        **_NO_USAGE,
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "creator_user_id": None,
        "rate_limit": _DEPRECATED,
    },
    "rate_limit as a number": {
        "label": "sk-or-v1-abc...def",
        "limit": 10,
        "usage": 7.2e-05,
        "limit_remaining": -0.0369027621,
        "is_free_tier": False,
        "rate_limit": -1,
    },
}


def as_json(document: Any) -> bytes:
    """The bytes of a document, as a server would send them."""
    return json.dumps(document).encode()


def record(**changes: Any) -> dict[str, Any]:
    """A key's record with some fields changed; `...` for a field that is left out."""
    changed = copy.deepcopy(RECORD) | changes
    return {name: value for name, value in changed.items() if value is not ...}


def reply(
    status: int = 200,
    body: bytes | str | dict[str, Any] | list[Any] | None = b"",
    *,
    truncated: bool = False,
    too_large: bool = False,
    **headers: str,
) -> Response:
    """An answer; `_` in a header's name stands for `-`, and what is no text becomes JSON."""
    return Response(
        status=status,
        headers=CIMultiDict((name.replace("_", "-"), value) for name, value in headers.items()),
        body=body.encode()
        if isinstance(body, str)
        else body
        if isinstance(body, bytes)
        else as_json(body),
        truncated=truncated,
        too_large=too_large,
        received_at=NOW,
    )
