"""Amounts are compared as money, not as floats, wherever they are compared."""

import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import FUZZ, record

from openrouter_async import _money
from openrouter_async._converter import structure
from openrouter_async._operations import UpdateKeys
from openrouter_async.audit import Policy, Totals, evaluate
from openrouter_async.bulk._widening import widened_by
from openrouter_async.models import APIKey
from openrouter_async.report import KeyRow
from openrouter_async.report._format import percent
from openrouter_async.report._html._facets import FULLNESS, _fullness

NOW = datetime(2026, 8, 19, tzinfo=UTC)
CENTS = st.integers(1, 10**9).map(lambda cents: cents / 100)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
MOST = sys.float_info.max


def key(limit: float, remaining: float, **changes: Any) -> APIKey:
    """A key in use, with this limit and what is left of it."""
    sample = structure(APIKey, record(include_byok_in_limit=True, byok_usage=0))
    return attrs.evolve(sample, limit=limit, limit_remaining=remaining, **changes)


def findings(*keys: APIKey) -> dict[str, Any]:
    """The figures of each finding about money, by rule."""
    found = evaluate(keys, Policy(), NOW)
    return {each.rule: each.figures for each in found if each.rule in MONEY}


MONEY = {"near-limit", "exhausted", "overspent", "no-limit"}


@pytest.mark.parametrize("threshold", [50, 75, 90])
@given(CENTS)
@FUZZ
def test_thresholds_at_round_limits(threshold: int, limit: float) -> None:
    """At exactly the threshold it is reached, whatever floats make of the subtraction."""
    spent = float(Decimal(str(limit)) * threshold / 100)
    one = key(limit, limit - spent)
    assert findings(one)["near-limit"]["threshold"] == threshold
    assert FULLNESS[_fullness(KeyRow(key=one, now=NOW))].startswith(f"{threshold} to")


def test_just_below_a_threshold() -> None:
    """A billionth of a dollar is still told."""
    assert findings(key(21.0, 21.0 - 18.90))["near-limit"]["threshold"] == 90
    assert findings(key(21.0, 2.100000001))["near-limit"]["threshold"] == 75
    assert percent(18.9, 21.0) == "90%"
    assert percent(18.899999999, 21.0) == "89%"


@pytest.mark.parametrize("remaining", [-1.8e-15, 1.8e-15, -4e-10, 0.0, -0.0])
def test_nothing_left_is_not_overspent(remaining: float) -> None:
    """The rest of a subtraction is no debt, and no money either."""
    one = key(10.0, remaining)
    assert findings(one).keys() == {"exhausted"}
    assert one.is_exhausted
    assert one.spent_in_window == 10
    totals = Totals.of([one], NOW)
    assert (totals.exhausted, totals.overspent, totals.active) == (1, 0, 0)
    assert FULLNESS[_fullness(KeyRow(key=one, now=NOW))] == "exhausted"


def test_a_billionth_is_overspent() -> None:
    """What the service can count is counted."""
    one = key(10.0, -1e-9)
    assert findings(one).keys() == {"exhausted", "overspent"}
    assert findings(one)["overspent"]["excess"] == 1e-9
    assert Totals.of([one], NOW).overspent == 1
    assert not key(10.0, 1e-9).is_exhausted


@FUZZ
@given(CENTS, CENTS)
def test_spent_in_window_has_no_ulps(limit: float, remaining: float) -> None:
    """Sheets show what people would reckon."""
    exact = Decimal(str(limit)) - Decimal(str(remaining))
    assert key(limit, remaining).spent_in_window == float(exact)


def test_sums_have_no_ulps() -> None:
    """Ten times ten cents are a dollar."""
    total = Totals.of([key(0.1, 0.0)] * 10, NOW).to_dict()
    assert (total["limit"], total["spent_in_window"]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("old", "new", "widens"),
    [
        (0.3, 0.1 + 0.2, False),
        (10.0, 10.0, False),
        (10.0, Decimal("10.00"), False),
        (10.0, 10.000001, True),
        (0.0, Decimal("0.1"), True),
    ],
)
def test_a_higher_limit_widens(old: float, new: Any, widens: bool) -> None:  # noqa: FBT001
    """A limit is raised by money, not by the last bit of a float."""
    change = UpdateKeys(hash="0" * 64, limit=new)
    assert bool(widened_by(key(old, 0.0), change)) is widens


@FUZZ
@given(FINITE, FINITE)
def test_arithmetic_holds_for_any_figures(one: float, other: float) -> None:
    """No figure raises, and none becomes infinite."""
    results = [
        _money.rounded(one),
        _money.added(one, other),
        _money.difference(one, other),
        _money.total([one, other, one]),
        _money.share(one, other) or 0.0,
    ]
    assert all(-MOST <= each <= MOST for each in results)
    assert not (_money.is_more(one, other) and _money.is_more(other, one))
    assert _money.differ(one, other) is (_money.is_more(one, other) or _money.is_more(other, one))
    assert len(_money.written(one)) < 30
    _money.reaches(one, 90, other)


@FUZZ
@given(FINITE)
def test_rounding_keeps_money(amount: float) -> None:
    """It takes no more than half a billionth, or what a float cannot tell anyway."""
    assert abs(_money.rounded(amount) - amount) <= max(5e-10, abs(amount) * 5e-15)
    assert _money.difference(amount, amount) == 0
