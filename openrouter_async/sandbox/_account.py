"""The account: its keys and their spending. Amounts are USD, times aware UTC."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import random
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import Any, Final

import attrs

from openrouter_async import _money
from openrouter_async._operations import PAGE_SIZE
from openrouter_async._options import OMITTED, Omitted
from openrouter_async.errors import ConfigurationError
from openrouter_async.models import (
    APIKey,
    Budget,
    FreeModelDailyRequests,
    GetCurrentKeyData,
    GuardrailKeyAssignment,
    LimitReset,
    RateLimit,
    Workspace,
)


def window_start(window: str, day: date) -> date:
    """Return the first day (UTC) of the `daily`, `weekly` or `monthly` window that `day` is in.

    Weeks begin on Monday. https://openrouter.ai/docs/guides/overview/auth/management-api-keys
    """
    if window == LimitReset.WEEKLY:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if window == LimitReset.MONTHLY else day


def next_window(window: str, day: date) -> date:
    """Return the day (UTC) on whose first instant the window that `day` is in has ended."""
    start = window_start(window, day)
    if window == LimitReset.MONTHLY:
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(days=7 if window == LimitReset.WEEKLY else 1)


@attrs.define
class Meter:
    """USD spent since the key was created, and in the windows of the last spending."""

    total: float = 0.0
    daily: float = 0.0
    weekly: float = 0.0
    monthly: float = 0.0
    day: date | None = None
    """The day (UTC) of the last spending; None: nothing has been spent."""

    def spent(self, window: str | None, today: date) -> float:
        """Return the USD spent in a window as of `today`; None as window: since its creation."""
        if window is None:
            return self.total
        if self.day is None or self.day < window_start(window, today):
            return 0.0
        if window == LimitReset.DAILY:
            return self.daily
        return self.weekly if window == LimitReset.WEEKLY else self.monthly

    def add(self, usd: float, today: date) -> None:
        if self.day != today:
            self.daily, self.weekly, self.monthly = (
                self.spent(window, today) for window in ("daily", "weekly", "monthly")
            )
            self.day = today
        self.daily = _money.total((self.daily, usd))
        self.weekly = _money.total((self.weekly, usd))
        self.monthly = _money.total((self.monthly, usd))
        self.total = _money.total((self.total, usd))


@attrs.define(kw_only=True, eq=False)
class StoredKey:
    """A key without its plaintext; fields that the service shows have the service's names."""

    number: int
    """The key's place in the order of creation."""
    hash: str
    name: str
    label: str
    workspace_id: str
    creator_user_id: str | None
    created_at: datetime
    disabled: bool = False
    limit: float | None = None
    limit_reset: str | None = None
    include_byok_in_limit: bool = False
    expires_at: datetime | None = None
    updated_at: datetime | None = None
    external_user: str | None = None
    last_used_at: datetime | None = None
    paid: Meter = attrs.field(factory=Meter)
    """USD charged to the account's credits."""
    byok: Meter = attrs.field(factory=Meter)
    """What providers billed for the caller's own provider keys."""

    def spend(self, usd: float, now: datetime, *, byok: bool = False) -> None:
        (self.byok if byok else self.paid).add(usd, now.date())
        self.last_used_at = now

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def spent_in_window(self, today: date) -> float:
        """Return the USD that count against the limit in the current window of `limit_reset`."""
        paid = self.paid.spent(self.limit_reset, today)
        byok = self.byok.spent(self.limit_reset, today) if self.include_byok_in_limit else 0.0
        return _money.total((paid, byok))

    def remaining(self, today: date) -> float | None:
        """Return the USD left in the current window, negative when overspent; None: no limit."""
        spent = self.spent_in_window(today)
        if self.limit is None or not spent:
            return self.limit
        return _money.difference(self.limit, spent)

    def record(self, now: datetime) -> APIKey:
        """Return the key's record as of `now`."""
        today = now.date()
        paid, byok = self.paid, self.byok
        return APIKey(
            hash=self.hash,
            name=self.name,
            label=self.label,
            disabled=self.disabled,
            include_byok_in_limit=self.include_byok_in_limit,
            usage=paid.total,
            usage_daily=paid.spent("daily", today),
            usage_weekly=paid.spent("weekly", today),
            usage_monthly=paid.spent("monthly", today),
            byok_usage=byok.total,
            byok_usage_daily=byok.spent("daily", today),
            byok_usage_weekly=byok.spent("weekly", today),
            byok_usage_monthly=byok.spent("monthly", today),
            created_at=self.created_at,
            limit=self.limit,
            limit_remaining=self.remaining(today),
            limit_reset=self.limit_reset,
            updated_at=self.updated_at,
            expires_at=self.expires_at,
            creator_user_id=self.creator_user_id,
            workspace_id=self.workspace_id,
            external_user=self.external_user,
            last_used_at=self.last_used_at,
        )

    def budget(self, now: datetime) -> Budget | None:
        """Return the limit in the form of `GET /key`; None without a limit."""
        remaining = self.remaining(now.date())
        if self.limit is None or remaining is None:
            return None
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        wait = next_window(self.limit_reset, now.date()) - now.date() if self.limit_reset else None
        return Budget(
            scope="key_limit",
            limit_usd=self.limit,
            spend_usd=self.spent_in_window(now.date()),
            remaining_usd=remaining,
            reset_interval=self.limit_reset,
            resets_at=None if wait is None else midnight + wait,
            include_byok=self.include_byok_in_limit,
        )


DEFAULT_WORKSPACE: Final = "0df9e665-d932-5740-b2c7-b52af166bc11"
OWNER: Final = "user_2dHFtVWx2n56w6HkM0000000000"
"""The creator of the management key, and of keys created without `creator_user_id`."""

_BY_NUMBER: Final = attrgetter("number")
_UNKNOWN_KEY: Final = "User not found."
_FREE_REQUESTS: Final = 1000
"""Requests per day to free models."""


class RefusedError(Exception):
    """A request that the service would refuse, with this status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@attrs.frozen
class _View:
    """The keys of a workspace that pass a filter, cached so that a page costs only its own rows.

    Any change to a key invalidates it.
    """

    keys: list[StoredKey]
    """Oldest first."""
    since: datetime
    until: datetime
    """Between these instants no other key expires."""

    @classmethod
    def of(
        cls,
        shelf: Iterable[StoredKey],
        now: datetime,
        *,
        include_disabled: bool,
        include_expired: bool,
    ) -> _View:
        keys: list[StoredKey] = []
        since, until = _EARLIEST, _LATEST
        for key in shelf:
            expired = key.is_expired(now)
            if key.expires_at is not None:
                if expired:
                    since = max(since, key.expires_at)
                else:
                    until = min(until, key.expires_at)
            if (include_disabled or not key.disabled) and (include_expired or not expired):
                keys.append(key)
        return cls(keys, since, until)


_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)


class Account:
    """Everything that the service would store. Not thread-safe: its user holds a lock."""

    def __init__(self, seed: int, now: Callable[[], datetime]) -> None:
        """Create an account without keys; `now` returns the time, aware."""
        self._seed = seed
        self._clock = now
        self._random = random.Random(f"created {seed}")  # noqa: S311 - the same for a seed
        self._numbers = itertools.count(1)
        self._keys: dict[str, StoredKey] = {}
        self._owners: dict[str, StoredKey] = {}
        self._unindexed: list[StoredKey] = []
        self._assignments: dict[str, GuardrailKeyAssignment] = {}
        self.workspaces = {workspace.id: workspace for workspace in _workspaces(self.now())}
        self._by_workspace: dict[str, list[StoredKey]] = {id_: [] for id_ in self.workspaces}
        self._views: dict[tuple[str, bool, bool], _View] = {}
        self.management_key = self._derive_secret("management key")

    def now(self) -> datetime:
        """Return the time in UTC to the millisecond; raises `ConfigurationError` if naive."""
        moment = self._clock()
        if not isinstance(moment, datetime) or moment.utcoffset() is None:
            raise ConfigurationError("now must give aware datetimes")
        moment = moment.astimezone(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    # Keys

    def add(self, *, hash: str | None = None, **fields: Any) -> StoredKey:
        """Store a new key as the newest of its workspace; `hash` None: generate one."""
        hash = hash or f"{self._random.getrandbits(256):064x}"
        key = StoredKey(
            number=next(self._numbers), hash=hash, label=masked(self.secret_of(hash)), **fields
        )
        self._keys[hash] = key
        self._unindexed.append(key)
        self._by_workspace[key.workspace_id].append(key)
        self._views.clear()
        return key

    def create(
        self,
        *,
        name: str,
        workspace_id: str = DEFAULT_WORKSPACE,
        creator_user_id: str | None = None,
        expires_at: str | None = None,
        external: dict[str, str] | None = None,
        **limits: Any,
    ) -> StoredKey:
        """Create a key; its creator is the owner unless one is specified."""
        self._shelf(workspace_id)
        return self.add(
            name=name,
            workspace_id=workspace_id,
            creator_user_id=creator_user_id or OWNER,
            created_at=self.now(),
            expires_at=expires_at and datetime.fromisoformat(expires_at),
            external_user=external["user"] if external else None,
            **limits,
        )

    def page(
        self,
        *,
        include_disabled: bool = False,
        include_expired: bool = False,
        offset: int = 0,
        workspace_id: str = DEFAULT_WORKSPACE,
    ) -> list[APIKey]:
        """Return a page of one workspace's keys, newest first."""
        now = self.now()
        keys = self._shelf(workspace_id)
        if not (include_disabled and include_expired):
            which = (workspace_id, include_disabled, include_expired)
            view = self._views.get(which)
            if view is None or not view.since <= now < view.until:
                view = self._views[which] = _View.of(
                    keys, now, include_disabled=include_disabled, include_expired=include_expired
                )
            keys = view.keys
        end = max(0, len(keys) - offset)
        page = keys[max(0, end - PAGE_SIZE) : end]
        return [key.record(now) for key in reversed(page)]

    def get(self, hash: str) -> StoredKey:
        """Return a key; raises `RefusedError` with 404."""
        key = self._keys.get(hash)
        if key is None:
            raise RefusedError(404, "Resource not found")
        return key

    def update(
        self, *, hash: str, workspace_id: str | Omitted = OMITTED, **changes: Any
    ) -> StoredKey:
        """Update a key; only `disabled` enables or disables it."""
        key = self.get(hash)
        if workspace_id is OMITTED and not changes:
            raise RefusedError(400, "No update fields provided")
        if workspace_id is not OMITTED:
            self._move(key, workspace_id)
        for name, value in changes.items():
            setattr(key, name, value)
        self._views.clear()
        key.updated_at = self.now()
        return key

    def delete(self, hash: str) -> None:
        key = self.get(hash)
        self._remove_from_workspace(key)
        self._views.clear()
        del self._keys[hash]
        self._assignments.pop(hash, None)

    def records(self) -> list[APIKey]:
        """Return the records of all keys of all workspaces, newest first."""
        now = self.now()
        return [key.record(now) for key in reversed(self._keys.values())]

    def workspace(self, id_or_slug: str) -> Workspace:
        """Return a workspace; raises `RefusedError` with 404."""
        for workspace in self.workspaces.values():
            if id_or_slug in (workspace.id, workspace.slug):
                return workspace
        raise RefusedError(404, "Workspace not found")

    def _shelf(self, workspace_id: str) -> list[StoredKey]:
        """Return the keys of a workspace, oldest first; raises `RefusedError` with 404."""
        shelf = self._by_workspace.get(workspace_id)
        if shelf is None:
            raise RefusedError(404, "Workspace not found")
        return shelf

    def _move(self, key: StoredKey, workspace_id: str) -> None:
        shelf = self._shelf(workspace_id)
        self._remove_from_workspace(key)
        bisect.insort(shelf, key, key=_BY_NUMBER)
        key.workspace_id = workspace_id

    def _remove_from_workspace(self, key: StoredKey) -> None:
        shelf = self._by_workspace[key.workspace_id]
        del shelf[bisect.bisect_left(shelf, key.number, key=_BY_NUMBER)]

    # Guardrails

    def assign_guardrail(self, hash: str, guardrail_id: str) -> None:
        """Assign a guardrail to a key in place of its current one."""
        key = self.get(hash)
        self._assignments.pop(hash, None)  # the newest comes last
        self._assignments[hash] = GuardrailKeyAssignment(
            id=str(uuid.uuid5(_NAMESPACE, f"{guardrail_id}/{hash}")),
            guardrail_id=guardrail_id,
            key_hash=hash,
            key_name=key.name,
            key_label=key.label,
            assigned_by=OWNER,
            created_at=self.now(),
        )

    def key_assignments(self) -> list[GuardrailKeyAssignment]:
        """Return the guardrail assignments of keys, newest first."""
        return list(reversed(self._assignments.values()))

    # Secrets

    def secret_of(self, hash: str) -> str:
        """Return the plaintext of the key with this hash.

        It follows from seed and hash, so that 100,000 keys need no 100,000 stored secrets.
        """
        return self._derive_secret(f"key {hash}")

    def _derive_secret(self, what: str) -> str:
        return f"sk-or-v1-{hashlib.sha256(f'sandbox {self._seed} {what}'.encode()).hexdigest()}"

    def authenticate(self, secret: str) -> StoredKey | None:
        """Return the key of a plaintext, None: the management key; raises `RefusedError` 401."""
        if secret == self.management_key:
            return None
        while self._unindexed:
            key = self._unindexed.pop()
            self._owners[self.secret_of(key.hash)] = key
        owner = self._owners.get(secret)
        if owner is None or owner.hash not in self._keys:
            raise RefusedError(401, _UNKNOWN_KEY)
        if owner.disabled or owner.is_expired(self.now()):
            raise RefusedError(401, _UNKNOWN_KEY)
        return owner

    def current(self, caller: StoredKey | None) -> GetCurrentKeyData:
        """Return the record of the caller's key; None: the management key."""
        now = self.now()
        is_management = caller is None
        if caller is None:
            caller = StoredKey(
                number=0,
                hash="",
                name="",
                label=masked(self.management_key),
                workspace_id=DEFAULT_WORKSPACE,
                creator_user_id=OWNER,
                created_at=now,
            )
        record = caller.record(now)
        budget = caller.budget(now)
        shared = {name: getattr(record, name) for name in _SHARED_FIELDS}
        return GetCurrentKeyData(
            **shared,
            is_free_tier=False,
            is_management_key=is_management,
            is_provisioning_key=is_management,
            allowed_data_regions=["global"],
            budgets=[budget] if budget else [],
            effective_budget=budget,
            free_model_daily_requests=FreeModelDailyRequests(
                limit=_FREE_REQUESTS, used=0, remaining=_FREE_REQUESTS
            ),
            rate_limit=RateLimit(requests=-1, interval="10s", note="deprecated"),
        )


_SHARED_FIELDS: Final = (
    "label", "usage", "usage_daily", "usage_weekly", "usage_monthly",
    "byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly",
    "limit", "limit_remaining", "limit_reset", "include_byok_in_limit",
    "creator_user_id", "expires_at", "workspace_id",
)  # fmt: skip


def masked(secret: str) -> str:
    """Return the label of a key: its first and last three digits."""
    return f"{secret[:12]}...{secret[-3:]}"


def _workspaces(now: datetime) -> Iterable[Workspace]:
    """Yield the workspaces of every account; their ids are always the same."""
    opened = now.replace(year=now.year - 2, day=1, hour=0, minute=0, second=0, microsecond=0)
    for name in ("Default Workspace", "Production", "Staging", "Customers", "Research"):
        slug = name.split()[0].lower()
        yield Workspace(
            id=DEFAULT_WORKSPACE if slug == "default" else str(uuid.uuid5(_NAMESPACE, slug)),
            name=name,
            slug=slug,
            created_at=opened,
            created_by=OWNER,
            default_guardrail_id=str(uuid.uuid5(_NAMESPACE, f"{slug}/guardrail")),
            include_byok_in_budgets=False,
            io_logging_sampling_rate=1.0,
            is_data_discount_logging_enabled=False,
            is_observability_broadcast_enabled=False,
            is_observability_io_logging_enabled=False,
        )


_NAMESPACE: Final = uuid.UUID(DEFAULT_WORKSPACE)
