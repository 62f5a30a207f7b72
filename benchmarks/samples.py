"""Deterministic documents with realistic values; a page of 100 records is about 68 kB."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

PAGE: Final = 100
API_KEY: Final = "sk-or-v1-" + "0" * 64
_CREATED: Final = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
_RESETS: Final = (None, "daily", "weekly", "monthly")


def _digits(rng: random.Random) -> str:
    return f"{rng.getrandbits(256):064x}"


HASHES: Final = tuple(_digits(random.Random(seed)) for seed in range(1000))
"""Hashes to request in turn: a single one would be served from yarl's URL caches."""

CREATE: Final[dict[str, Any]] = {
    "name": "Customer 0042 (production)",
    "limit": 250.5,
    "limit_reset": "monthly",
    "include_byok_in_limit": False,
    "expires_at": datetime(2030, 1, 31, 12, 0, tzinfo=UTC),
    "creator_user_id": "user_2dHFtVWx2n56w6HkM0000000000",
    "workspace_id": "0df9e665-d932-5740-b2c7-b52af166bc11",
    "external": {"user": "customer-0042", "api_key": "0123456789abcdef" * 2},
}
"""Every parameter of a create."""


def record(seed: int) -> dict[str, Any]:
    """Return a key's record in the service's shape, with all fields."""
    rng = random.Random(seed)
    created = _CREATED - timedelta(hours=seed, microseconds=rng.randrange(10**6))
    spent = [round(rng.random() * scale, 9) for scale in (900, 3, 20, 80)]
    limit = rng.choice((None, 10, 250.5, 500))
    windows = ("", "_daily", "_weekly", "_monthly")
    return {
        "hash": _digits(rng),
        "name": f"Customer {seed:04d} ({rng.choice(('production', 'staging', 'trial'))})",
        "label": f"sk-or-v1-{rng.getrandbits(12):03x}...{rng.getrandbits(12):03x}",
        "disabled": rng.random() < 0.1,
        "limit": limit,
        "limit_remaining": None if limit is None else round(limit - spent[3], 9),
        "limit_reset": rng.choice(_RESETS),
        "include_byok_in_limit": rng.random() < 0.5,
        **{f"usage{window}": value for window, value in zip(windows, spent, strict=True)},
        **{f"byok_usage{window}": 0 for window in windows},
        "created_at": created.isoformat(),
        "updated_at": (created + timedelta(days=2)).isoformat() if seed % 3 else None,
        "expires_at": "2027-01-31T12:00:00.000Z" if seed % 4 == 0 else None,
        "creator_user_id": f"user_{rng.getrandbits(100):027d}",
        "workspace_id": "0df9e665-d932-5740-b2c7-b52af166bc11",
        "external_user": None,
        "last_used_at": None if seed % 5 == 0 else "2026-10-30T08:01:02.123Z",
    }


def page(number: int = 0) -> bytes:
    """Return the response to a list: page `number` of 100 records."""
    first = number * PAGE
    return _dump({"data": [record(seed) for seed in range(first, first + PAGE)]})


def one() -> bytes:
    """Return the response to a get."""
    return _dump({"data": record(7)})


HASH_OF_ONE: Final[bytes] = record(7)["hash"].encode()
"""The hash in `one()`, which a server replaces with the requested one."""


def created() -> bytes:
    """Return the response to a create."""
    return _dump({"data": record(7), "key": API_KEY})


def current() -> bytes:
    """Return the response to `GET /key`, in the shape of autumn 2026."""
    kept = ("label", "limit", "limit_reset", "limit_remaining", "include_byok_in_limit")
    data = {name: value for name, value in record(7).items() if name in kept or "usage" in name} | {
        "organization_id": None,
        "workspace_id": None,
        "allowed_data_regions": ["global"],
        "free_model_daily_requests": {"limit": 1000, "used": 0, "remaining": 1000},
        "is_free_tier": False,
        "is_management_key": True,
        "is_provisioning_key": True,
        "creator_user_id": None,
        "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
    }
    return _dump({"data": data})


def _dump(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
