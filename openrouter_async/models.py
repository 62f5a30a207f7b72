"""The service's responses, as frozen attrs classes under the official names.

These classes are the only schema. Amounts are in USD, and timestamps are aware UTC datetimes. A
field that the service leaves out or sends as null is None. Field rules:
https://openrouter.ai/docs/guides/overview/auth/management-api-keys
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, TypeAlias, TypeVar

import attrs
from msgspec import Meta

from openrouter_async import _money
from openrouter_async.errors import ResponseValidationError
from openrouter_async.secret import Secret

Timestamp: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""An aware UTC datetime; a timestamp without a zone is refused, other zones are converted."""
Integer: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""An integer of 64 bits: with more digits than that the two roads of decoding would differ."""

MOST_ROWS: Final = 10_000
"""The most rows in a list of a response, a limit of ours: the service's pages have 100."""

T = TypeVar("T")
Rows: TypeAlias = Annotated[list[T], Meta(max_length=MOST_ROWS)]


class LimitReset(StrEnum):
    """When a key's `limit` resets: at midnight UTC, where weeks run from Monday to Sunday."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


CreateKeysLimitReset = LimitReset
UpdateKeysLimitReset = LimitReset


@attrs.frozen(kw_only=True)
class APIKey:
    """One API key, as every operation on keys describes it. The plaintext is never part of it."""

    hash: str
    """Opaque identifier, 64 hexadecimal digits; what `get`, `update` and `delete` take."""
    name: str
    label: str
    """The key with its middle masked, such as `sk-or-v1-0e6...c96`."""
    disabled: bool
    include_byok_in_limit: bool
    """Whether usage of the caller's own provider keys (BYOK) counts toward `limit`."""
    usage: float
    """USD spent since the key was created; see `spent_in_window` for what counts toward `limit`."""
    usage_daily: float
    usage_weekly: float
    usage_monthly: float
    byok_usage: float
    byok_usage_daily: float
    byok_usage_weekly: float
    byok_usage_monthly: float
    created_at: Timestamp
    limit: float | None = None
    """USD in each window of `limit_reset`; None: unlimited."""
    limit_remaining: float | None = None
    """USD left in the current window; negative if overspent, None without a limit."""
    limit_reset: str | None = None
    """`daily`, `weekly`, `monthly` or a newer word; None: the limit never resets."""
    updated_at: Timestamp | None = None
    expires_at: Timestamp | None = None
    """None: the key does not expire."""
    creator_user_id: str | None = None
    workspace_id: str | None = None
    external_user: str | None = None
    """The partner's own name for the key's user; None outside partner accounts."""
    last_used_at: Timestamp | None = None
    """None: not used since the service started to record it, at the end of 2025."""

    @property
    def spent_in_window(self) -> float | None:
        """USD spent toward `limit` in the current window; None without a limit.

        This is not `usage`, which counts from the key's creation.
        """
        if self.limit is None or self.limit_remaining is None:
            return None
        return _money.difference(self.limit, self.limit_remaining)

    @property
    def is_exhausted(self) -> bool:
        """Whether the limit is used up: requests with the key get 402 or 403 until it resets."""
        return self.limit_remaining is not None and not _money.is_more(self.limit_remaining, 0)

    def is_expired(self, now: datetime | None = None) -> bool:
        """Whether `expires_at` has come by `now` (aware; None: the present)."""
        return self.expires_at is not None and self.expires_at <= (now or datetime.now(UTC))

    def is_active(self, now: datetime | None = None) -> bool:
        """Whether the key works at `now`: neither disabled, nor expired, nor exhausted."""
        return not (self.disabled or self.is_exhausted or self.is_expired(now))


ListData = APIKey
CreateKeysData = APIKey
GetKeyData = APIKey
UpdateKeysData = APIKey


@attrs.frozen(kw_only=True)
class ListResponse:
    """One page of keys, at most 100, newest first."""

    data: Rows[APIKey]

    def _repr_html_(self) -> str:
        """Show the keys as a table, in a notebook."""
        from openrouter_async._html_table import keys_table

        return keys_table(self.data)


@attrs.frozen(kw_only=True)
class LenientListResponse:
    """One page of keys, with the records that cannot be read set aside as `problems`."""

    data: list[APIKey]
    problems: list[ResponseValidationError]

    @property
    def length(self) -> int:
        """How many records the page has, readable or not."""
        return len(self.data) + len(self.problems)


@attrs.frozen(kw_only=True)
class GetKeyResponse:
    """One key."""

    data: APIKey


@attrs.frozen(kw_only=True)
class UpdateKeysResponse:
    """The key after the change."""

    data: APIKey


@attrs.frozen(kw_only=True)
class DeleteKeysResponse:
    """The outcome of a delete."""

    deleted: bool = True
    already_gone: bool = False
    """True when a repeated delete found the key gone: an earlier attempt had done the work."""


@attrs.frozen(kw_only=True)
class CreateKeysResponse:
    """A new key. `key` is its plaintext, which the service shows once; nothing shows it implicitly.

    The response to a create is kept once a whole `key` has been read: if the record beside it
    cannot be read, `problem` says why, and `data` raises that.
    """

    _data: APIKey | None = attrs.field(default=None, alias="data")
    secret: Secret = attrs.field(alias="key", converter=Secret)
    """The plaintext, wrapped; pass this around rather than `key`."""
    problem: ResponseValidationError | None = None
    """Why `data` cannot be read; None if it can."""

    @property
    def key(self) -> str:
        """The plaintext, under the name of the official SDK."""
        return self.secret.reveal()

    @property
    def data(self) -> APIKey:
        """The new key's record; raises `problem` if it cannot be read."""
        if self._data is None:
            raise self.problem or ResponseValidationError("the response has no record of the key")
        return self._data


@attrs.frozen(kw_only=True)
class RateLimit:
    """Deprecated by the service, which sends -1 or nothing here."""

    requests: Integer | None = None
    interval: str | None = None
    note: str | None = None


@attrs.frozen(kw_only=True)
class Budget:
    """A cap that binds the current key; amounts in USD."""

    scope: str | None = None
    """`member`, `api_key`, `workspace`, `key_limit` or another word."""
    limit_usd: float | None = None
    spend_usd: float | None = None
    remaining_usd: float | None = None
    reset_interval: str | None = None
    resets_at: Timestamp | None = None
    include_byok: bool | None = None
    budget_id: str | None = None
    guardrail_id: str | None = None


@attrs.frozen(kw_only=True)
class FreeModelDailyRequests:
    """The requests to free models that are left today (UTC)."""

    limit: Integer | None = None
    used: Integer | None = None
    remaining: Integer | None = None


@attrs.frozen(kw_only=True)
class GetCurrentKeyData:
    """The key that made the request."""

    label: str
    usage: float
    """USD spent since the key was created."""
    is_free_tier: bool
    usage_daily: float | None = None
    usage_weekly: float | None = None
    usage_monthly: float | None = None
    byok_usage: float | None = None
    byok_usage_daily: float | None = None
    byok_usage_weekly: float | None = None
    byok_usage_monthly: float | None = None
    limit: float | None = None
    """USD in each window of `limit_reset`; None: unlimited."""
    limit_remaining: float | None = None
    """USD left in the current window; negative when overspent, None without a limit."""
    limit_reset: str | None = None
    include_byok_in_limit: bool | None = None
    is_management_key: bool | None = None
    is_provisioning_key: bool | None = None
    """Deprecated; the same as `is_management_key`."""
    creator_user_id: str | None = None
    expires_at: Timestamp | None = None
    organization_id: str | None = None
    workspace_id: str | None = None
    allowed_data_regions: Rows[str] | None = None
    budgets: Rows[Budget] | None = None
    effective_budget: Budget | None = None
    """The one of `budgets` that binds."""
    free_model_daily_requests: FreeModelDailyRequests | None = None
    rate_limit: RateLimit | float | None = None
    """Deprecated; an object in most responses, a number in some."""


@attrs.frozen(kw_only=True)
class GetCurrentKeyResponse:
    """The key that made the request."""

    data: GetCurrentKeyData


@attrs.frozen(kw_only=True)
class Workspace:
    """A workspace: keys belong to exactly one."""

    id: str
    name: str
    slug: str | None = None
    description: str | None = None
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None
    created_by: str | None = None
    default_guardrail_id: str | None = None
    default_text_model: str | None = None
    default_image_model: str | None = None
    default_provider_sort: str | None = None
    disabled_server_tools: Rows[str] | None = None
    """Tools of the service that must not be used; None: the service did not send this."""
    include_byok_in_budgets: bool | None = None
    io_logging_api_key_ids: Rows[Integer] | None = None
    io_logging_sampling_rate: float | None = None
    is_data_discount_logging_enabled: bool | None = None
    is_observability_broadcast_enabled: bool | None = None
    is_observability_io_logging_enabled: bool | None = None


@attrs.frozen(kw_only=True)
class ListWorkspacesResponse:
    """One page of workspaces."""

    data: Rows[Workspace]
    total_count: Integer | None = None
    """How many workspaces there are on all pages."""


@attrs.frozen(kw_only=True)
class GetWorkspaceResponse:
    """One workspace."""

    data: Workspace


@attrs.frozen(kw_only=True)
class GuardrailKeyAssignment:
    """A guardrail that binds a key; a key has one at most."""

    id: str
    guardrail_id: str
    key_hash: str
    key_name: str | None = None
    key_label: str | None = None
    assigned_by: str | None = None
    """The user who assigned it; None: not known."""
    created_at: Timestamp | None = None


@attrs.frozen(kw_only=True)
class ListGuardrailKeyAssignmentsResponse:
    """One page of the guardrails that are assigned to keys, of the whole account."""

    data: list[GuardrailKeyAssignment]
    total_count: Integer | None = None
    """How many assignments there are on all pages."""


@attrs.frozen(kw_only=True)
class External:
    """A partner's own identity for a new key; partner accounts only.

    `api_key` is the partner's own key for its user, at least 32 characters; None: there is none.
    """

    user: str
    api_key: Secret | None = attrs.field(default=None, converter=attrs.converters.optional(Secret))
