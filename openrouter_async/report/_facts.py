"""One record as names and texts for people. Pure."""

from __future__ import annotations

from datetime import datetime

from openrouter_async import _money
from openrouter_async.models import APIKey, Budget, GetCurrentKeyData, Workspace
from openrouter_async.report._columns import KeyRow
from openrouter_async.report._format import NOTHING, ago, minute, percent, plain, usd


def key_facts(key: APIKey, now: datetime) -> dict[str, str]:
    """Return the details of a key."""
    facts = {
        "name": plain(key.name),
        "hash": plain(key.hash),
        "label": plain(key.label),
        "state": KeyRow(key=key, now=now).state,
        "limit": _limit(key.limit, key.limit_remaining, key.limit_reset),
        "usage": _spent(key.usage_daily, key.usage_weekly, key.usage_monthly, key.usage),
        "BYOK usage": _spent(
            key.byok_usage_daily, key.byok_usage_weekly, key.byok_usage_monthly, key.byok_usage
        )
        + _counts(key.include_byok_in_limit),
        "created": _moment(key.created_at, now),
        "updated": _moment(key.updated_at, now),
        "expires": _moment(key.expires_at, now),
        "last used": _moment(key.last_used_at, now, "never, or before 2026"),
        "workspace": plain(key.workspace_id or NOTHING),
        "creator": plain(key.creator_user_id or NOTHING),
    }
    if key.external_user is not None:
        facts["external user"] = plain(key.external_user)
    return facts


def current_facts(key: GetCurrentKeyData, now: datetime) -> dict[str, str]:
    """Return the details of the key in use."""
    manages = key.is_management_key or key.is_provisioning_key
    facts = {
        "label": plain(key.label),
        "kind": "management key" if manages else "inference key",
        "free tier": "yes" if key.is_free_tier else "no",
        "limit": _limit(key.limit, key.limit_remaining, key.limit_reset),
        "usage": _spent(key.usage_daily, key.usage_weekly, key.usage_monthly, key.usage),
        "BYOK usage": _spent(
            key.byok_usage_daily, key.byok_usage_weekly, key.byok_usage_monthly, key.byok_usage
        )
        + _counts(key.include_byok_in_limit),
        "expires": _moment(key.expires_at, now),
        "organization": plain(key.organization_id or NOTHING),
        "workspace": plain(key.workspace_id or NOTHING),
        "creator": plain(key.creator_user_id or NOTHING),
    }
    if key.allowed_data_regions is not None:
        facts["data regions"] = plain(" ".join(key.allowed_data_regions)) or NOTHING
    for number, budget in enumerate(key.budgets or (), 1):
        facts[f"budget {number}"] = _budget(budget, now, binds=budget == key.effective_budget)
    free = key.free_model_daily_requests
    if free is not None:
        facts["free requests"] = f"{free.remaining} of {free.limit} left today"
    return facts


def workspace_facts(workspace: Workspace, now: datetime) -> dict[str, str]:
    """Return the details of a workspace."""
    counts = {None: NOTHING, True: "counts toward budgets", False: "does not count toward budgets"}
    return {
        "name": plain(workspace.name),
        "slug": plain(workspace.slug or NOTHING),
        "id": plain(workspace.id),
        "description": plain(workspace.description or NOTHING),
        "created": _moment(workspace.created_at, now, NOTHING),
        "created by": plain(workspace.created_by or NOTHING),
        "guardrail": plain(workspace.default_guardrail_id or NOTHING),
        "BYOK usage": counts[workspace.include_byok_in_budgets],
    }


def _limit(limit: float | None, remaining: float | None, reset: str | None) -> str:
    if limit is None:
        return "none"
    every = f", resets {plain(reset)}" if reset else ", never resets"
    if remaining is None:
        return usd(limit) + every
    spent = _money.difference(limit, remaining)
    return (
        f"{usd(limit)}{every}; {usd(spent)} spent ({percent(spent, limit)}), {usd(remaining)} left"
    )


def _spent(*windows: float | None) -> str:
    names = ("today", "this week", "this month", "ever")
    return ", ".join(f"{usd(amount)} {name}" for amount, name in zip(windows, names, strict=True))


def _counts(include: bool | None) -> str:  # noqa: FBT001  # the service's own third state
    if include is None:
        return ""
    return "; counts toward the limit" if include else "; does not count toward the limit"


def _moment(moment: datetime | None, now: datetime, otherwise: str = "never") -> str:
    return f"{minute(moment)} ({ago(moment, now)})" if moment else otherwise


def _budget(budget: Budget, now: datetime, *, binds: bool) -> str:
    window = f" {plain(budget.reset_interval)}" if budget.reset_interval else ""
    resets = f", resets {ago(budget.resets_at, now)}" if budget.resets_at else ""
    scope = plain(budget.scope or "budget").replace("_", " ")
    amounts = f"{usd(budget.spend_usd)} of {usd(budget.limit_usd)}{window} spent"
    return f"{scope}: {amounts}{resets}" + ("; the effective budget" if binds else "")


def created_line(key: APIKey) -> str:
    """Return one line about a new key."""
    limit = usd(key.limit) if key.limit is not None else "no limit"
    reset = f" {plain(key.limit_reset)}" if key.limit_reset else ""
    expiry = f", expires {minute(key.expires_at)}" if key.expires_at else ", does not expire"
    return f"created {plain(key.name)!r}: {limit}{reset}{expiry}; hash {plain(key.hash)}"
