"""The account behind the sandbox: windows, limits, order, and data that look real."""

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from openrouter_async._operations import OPERATIONS
from openrouter_async.errors import ConfigurationError, InvalidRequestError
from openrouter_async.models import APIKey
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox
from openrouter_async.sandbox._account import next_window, window_start
from openrouter_async.sandbox._handlers import HANDLERS

WEDNESDAY = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)


class Clock:
    """A clock that a test turns."""

    def __init__(self, now: datetime = WEDNESDAY) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A Wednesday at noon, until the test turns it."""
    return Clock()


@pytest.fixture
def box(clock: Clock) -> Sandbox:
    """An account that nobody serves: everything but HTTP works."""
    return Sandbox(now=clock)


def example(box: Sandbox) -> APIKey:
    """Return the key of the official examples as it is now."""
    return next(key for key in box.keys if key.hash == EXAMPLE_HASH)


def test_every_row_of_the_table_has_a_handler() -> None:
    """No operation can be added to the table and forgotten in the sandbox."""
    assert HANDLERS.keys() == {operation.name for operation in OPERATIONS}


@pytest.mark.parametrize(
    ("window", "day", "first", "following"),
    [
        ("daily", date(2026, 7, 15), date(2026, 7, 15), date(2026, 7, 16)),
        ("weekly", date(2026, 7, 15), date(2026, 7, 13), date(2026, 7, 20)),
        ("weekly", date(2026, 7, 13), date(2026, 7, 13), date(2026, 7, 20)),
        ("weekly", date(2026, 7, 19), date(2026, 7, 13), date(2026, 7, 20)),
        ("weekly", date(2027, 1, 1), date(2026, 12, 28), date(2027, 1, 4)),
        ("monthly", date(2026, 7, 15), date(2026, 7, 1), date(2026, 8, 1)),
        ("monthly", date(2026, 12, 31), date(2026, 12, 1), date(2027, 1, 1)),
        ("monthly", date(2028, 2, 29), date(2028, 2, 1), date(2028, 3, 1)),
    ],
)
def test_windows(window: str, day: date, first: date, following: date) -> None:
    """Windows begin at midnight UTC, weeks on Monday."""
    assert window_start(window, day) == first
    assert next_window(window, day) == following


def test_usage_rolls_over_with_the_clock(box: Sandbox, clock: Clock) -> None:
    """What was spent leaves the day's, the week's and the month's usage as these end."""
    seen = []
    for day in (WEDNESDAY, datetime(2026, 7, 16, tzinfo=UTC), datetime(2026, 7, 20, tzinfo=UTC),
                datetime(2026, 8, 1, tzinfo=UTC)):  # fmt: skip
        clock.now = day
        key = example(box)
        seen.append((key.usage_daily, key.usage_weekly, key.usage_monthly, key.usage))
    assert seen == [
        (25.5, 25.5, 25.5, 25.5),
        (0.0, 25.5, 25.5, 25.5),
        (0.0, 0.0, 25.5, 25.5),
        (0.0, 0.0, 0.0, 25.5),
    ]


def test_spending_adds_up(box: Sandbox, clock: Clock) -> None:
    """Spending counts in every window that it falls into, and is the key's last use."""
    clock.now += timedelta(days=1)
    box.spend(EXAMPLE_HASH, 0.1)
    box.spend(EXAMPLE_HASH, 0.2)
    key = example(box)
    assert (key.usage_daily, key.usage_weekly, key.usage) == (0.3, 25.8, 25.8)
    assert (key.limit_remaining, key.last_used_at) == (74.2, clock.now)


def test_a_monthly_limit_is_whole_again_in_the_next_month(box: Sandbox, clock: Clock) -> None:
    """The remaining limit is that of the window, not of the key's life."""
    box.spend(EXAMPLE_HASH, 80)
    assert example(box).limit_remaining == -5.5
    clock.now = datetime(2026, 8, 1, tzinfo=UTC)
    assert example(box).limit_remaining == 100
    assert example(box).usage == 105.5


def test_byok_counts_where_the_key_says_so(box: Sandbox) -> None:
    """Usage of provider keys is counted apart, and against the limit only if that is asked for."""
    account = box._service.account
    account.update(hash=EXAMPLE_HASH, include_byok_in_limit=True)
    assert example(box).limit_remaining == 57.12
    box.spend(EXAMPLE_HASH, 7.12, byok=True)
    key = example(box)
    assert (key.limit_remaining, key.byok_usage, key.usage) == (50.0, 24.5, 25.5)


@pytest.mark.parametrize("usd", [-1, float("nan"), float("inf"), "1", None, True])
def test_spending_refuses_what_is_no_amount(box: Sandbox, usd: object) -> None:
    """A wrong amount is named and changes nothing."""
    with pytest.raises(InvalidRequestError, match="usd must be"):
        box.spend(EXAMPLE_HASH, usd)  # type: ignore[arg-type]
    assert example(box).usage == 25.5


def test_an_unknown_key_is_refused(box: Sandbox) -> None:
    """Spending of a key that is not there is an error of the caller."""
    with pytest.raises(InvalidRequestError, match="hash must be") as caught:
        box.spend("0" * 64, 1)
    assert caught.value.__context__ is None
    with pytest.raises(InvalidRequestError, match="hash must be"):
        box.inference_key("0" * 64)


@pytest.mark.parametrize(
    "wrong",
    [
        {"keys": -1}, {"keys": 1.5}, {"keys": True}, {"seed": "a"}, {"port": 65_536}, {"port": -1},
        {"requests_per_second": 0}, {"requests_per_second": float("nan")}, {"now": 5},
        {"now": lambda: datetime(2026, 1, 1)}, {"now": lambda: None},  # noqa: DTZ001
    ],
)  # fmt: skip
def test_wrong_settings_are_named(wrong: dict[str, object]) -> None:
    """A sandbox that cannot be as it is asked for is refused, and the parameter named."""
    with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))} must"):
        Sandbox(**wrong)  # type: ignore[arg-type]


def test_an_empty_account_holds_the_official_example() -> None:
    """`keys` counts what stands beside the key of the official examples."""
    assert [key.hash for key in Sandbox().keys] == [EXAMPLE_HASH]
    box = Sandbox(keys=5)
    assert len(box.keys) == 6
    assert box.keys[-1].hash == EXAMPLE_HASH
    assert box.keys[-1].workspace_id == box.workspaces[0].id


def test_a_seed_gives_one_account(clock: Clock) -> None:
    """The same seed and day give the same keys and secrets; another seed gives others."""
    one, two, other = (
        Sandbox(50, 7, now=clock),
        Sandbox(50, 7, now=clock),
        Sandbox(50, 8, now=clock),
    )
    assert one.keys == two.keys
    assert one.management_key == two.management_key != other.management_key
    assert {key.hash for key in one.keys} & {key.hash for key in other.keys} == {EXAMPLE_HASH}
    clock.now += timedelta(hours=9)
    assert Sandbox(50, 7, now=clock).keys == one.keys


# The first of a month, a Monday, the first instant of a day, a leap day, the last of a year.
DAYS = [
    datetime(2026, 6, 1, 0, 0, tzinfo=UTC), datetime(2026, 11, 21, 15, tzinfo=UTC),
    datetime(2028, 2, 29, 23, 59, tzinfo=UTC), datetime(2026, 12, 31, 1, tzinfo=UTC),
]  # fmt: skip


@pytest.mark.parametrize("now", DAYS, ids=str)
@pytest.mark.parametrize("keys", [12, 400])
def test_seeded_keys_show_every_state(now: datetime, keys: int) -> None:
    """Whatever the day, an account of 12 keys already has one of each kind."""
    data = Sandbox(keys, now=lambda: now).keys
    long_ago = now - timedelta(days=90)
    counts = {
        "disabled": sum(key.disabled for key in data),
        "expired": sum(key.is_expired(now) for key in data),
        "expiring": sum(
            key.expires_at is not None and now < key.expires_at < now + timedelta(days=7)
            for key in data
        ),
        "exhausted": sum(key.limit_remaining == 0 for key in data),
        "overspent": sum((key.limit_remaining or 0) < 0 for key in data),
        "near": sum(
            bool(key.limit) and 0.8 < (key.spent_in_window or 0) / key.limit < 1 for key in data
        ),
        "no limit": sum(key.limit is None for key in data),
        "never used": sum(key.usage == 0 and key.last_used_at is None for key in data),
        "idle": sum(
            key.usage > 0 and (key.last_used_at is None or key.last_used_at < long_ago)
            for key in data
        ),
        "byok": sum(key.byok_usage > 0 for key in data[:-1]),
        "external": sum(key.external_user is not None for key in data),
    }
    assert {kind for kind, count in counts.items() if not count} == set()


@pytest.mark.parametrize("now", DAYS, ids=str)
def test_seeded_keys_are_consistent(now: datetime) -> None:
    """No key was used before it was made or after now, and no part is more than the whole."""
    data = Sandbox(600, 3, now=lambda: now).keys
    for key in data:
        assert key.created_at <= (key.last_used_at or now) <= now
        assert key.created_at <= (key.updated_at or now) <= now
        assert key.usage_daily <= key.usage_weekly <= key.usage
        assert key.usage_daily <= key.usage_monthly <= key.usage
        assert key.byok_usage_daily <= key.byok_usage_monthly <= key.byok_usage
        assert key.expires_at is None or key.expires_at > key.created_at
        if not key.is_expired(now) or key.expires_at is None:
            continue
        assert (key.last_used_at or key.created_at) < key.expires_at
    created = [key.created_at for key in data]
    assert created == sorted(set(created), reverse=True)
    assert created[0] - created[-1] > timedelta(days=500)


def test_seeded_keys_look_real() -> None:
    """Several workspaces and creators, opaque hashes, masked labels, names that repeat a bit."""
    box = Sandbox(400)
    data = box.keys
    assert len({key.workspace_id for key in data}) == len(box.workspaces) >= 4
    assert len({key.creator_user_id for key in data}) >= 5
    assert all(re.fullmatch(r"[0-9a-f]{64}", key.hash) for key in data)
    for key in data:
        secret = box.inference_key(key.hash)
        assert re.fullmatch(r"sk-or-v1-[0-9a-f]{64}", secret)
        assert key.label == f"{secret[:12]}...{secret[-3:]}"
    repeated = sum(count > 1 for count in Counter(key.name for key in data).values())
    assert 1 <= repeated <= 20


@pytest.mark.slow
def test_a_hundred_thousand_keys() -> None:
    """A large account can be made, and each of its keys be found."""
    box = Sandbox(100_000)
    data = box.keys
    assert len({key.hash for key in data}) == 100_001
    account = box._service.account
    assert account.get(data[50_000].hash).name == data[50_000].name
    owner = account.authenticate(box.inference_key(data[70_000].hash))
    assert owner is not None
    assert owner.hash == data[70_000].hash


def test_repr_holds_no_secret(box: Sandbox) -> None:
    """A sandbox that is logged shows where it is, and no key."""
    assert repr(box) == "<Sandbox stopped>"


@pytest.mark.parametrize("disabled", [False, True])
@pytest.mark.parametrize("expired", [False, True])
def test_pages_show_what_there_is_now(
    box: Sandbox, clock: Clock, *, disabled: bool, expired: bool
) -> None:
    """Keys come, change, move, go and expire, and the clock may be turned back: none is stale."""
    account = box._service.account
    other = list(account.workspaces)[1]
    keys = [
        account.create(
            name=f"{number}",
            expires_at=f"2026-07-{16 + number % 10}T12:00:00Z" if number % 3 else None,
        )
        for number in range(230)
    ]

    def listed(workspace_id: str) -> list[str]:
        return [
            key.hash
            for offset in range(0, 400, 100)
            for key in account.page(
                include_disabled=disabled,
                include_expired=expired,
                offset=offset,
                workspace_id=workspace_id,
            )
        ]

    def check() -> None:
        for workspace_id in account.workspaces:
            assert listed(workspace_id) == [
                key.hash
                for key in sorted(account._keys.values(), key=lambda key: -key.number)
                if key.workspace_id == workspace_id
                and (disabled or not key.disabled)
                and (expired or not key.is_expired(clock.now))
            ]

    check()
    account.update(hash=keys[0].hash, disabled=True)
    check()
    account.update(hash=keys[3].hash, workspace_id=other)
    check()
    account.update(hash=keys[6].hash, expires_at=WEDNESDAY)
    check()
    account.delete(keys[9].hash)
    check()
    account.create(name="newest", workspace_id=other)
    check()
    for days in (1, 4, 3, 20, 0):
        clock.now = WEDNESDAY + timedelta(days=days)
        check()


def test_a_page_looks_at_no_other_keys(box: Sandbox) -> None:
    """A walk over an account that nothing changes sifts its keys once."""
    account = box._service.account
    account.page()
    [view] = account._views.values()
    account.page(offset=100)
    account.page(offset=200)
    [same] = account._views.values()
    assert same is view
