"""A call's options lie over the client's: what is left out is inherited, what is wrong refused."""

import math
import sys
from typing import Any

import attrs
import pytest
from support.secrets import assert_not_leaked

from openrouter_async import ConfigurationError, RetryConfig
from openrouter_async._options import ONCE, CallOptions, Settings, checked_retries, checked_seconds

BASE = Settings(
    base_url="https://openrouter.ai/api/v1",
    headers={"HTTP-Referer": "https://a.example", "X-Trace": "1"},
    retries=RetryConfig(max_attempts=5),
    timeout=15,
    total_timeout=60,
)


def override(**options: Any) -> Settings:
    """The settings of a call with these options."""
    return BASE.override(options)  # type: ignore[arg-type]


def changed(**options: Any) -> dict[str, Any]:
    """Which settings such a call changes, and to what."""
    made = attrs.asdict(override(**options), recurse=False)
    before = attrs.asdict(BASE, recurse=False)
    return {name: value for name, value in made.items() if value != before[name]}


def test_no_options() -> None:
    """A call without options has the client's very settings."""
    assert override() is BASE


@pytest.mark.parametrize("option", sorted(CallOptions.__annotations__.keys() - {"retries"}))
def test_none_inherits(option: str) -> None:
    """None is the same as leaving an option out."""
    assert changed(**{option: None}) == {}


def test_no_retries() -> None:
    """Only `retries=None` has a meaning of its own: a single attempt."""
    assert changed(retries=None) == {"retries": ONCE}
    assert (ONCE.strategy, ONCE.max_attempts) == ("none", 1)
    assert changed(retries=RetryConfig(max_attempts=2)) == {"retries": RetryConfig(max_attempts=2)}


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"timeout": 1}, {"timeout": 1}),
        ({"timeout": 0.5, "total_timeout": 2.5}, {"timeout": 0.5, "total_timeout": 2.5}),
        ({"timeout": 15}, {}),
        ({"server_url": "http://localhost:1/v1/"}, {"base_url": "http://localhost:1/v1"}),
        (
            {"x_open_router_title": "t"},
            {"headers": BASE.headers | {"X-OpenRouter-Title": "t"}},  # type: ignore[operator]
        ),
        (
            {"http_headers": {"x-trace": "2"}},
            {"headers": {"HTTP-Referer": "https://a.example", "x-trace": "2"}},
        ),
        (
            {"http_headers": {"http-REFERER": "b"}, "x_open_router_categories": "c"},
            {"headers": {"X-Trace": "1", "http-REFERER": "b", "X-OpenRouter-Categories": "c"}},
        ),
        ({"http_headers": {}}, {}),
    ],
    ids=range(8),
)
def test_what_is_given_replaces(options: dict[str, Any], changes: dict[str, Any]) -> None:
    """Each option changes its own setting; a header replaces the same name in any case."""
    assert changed(**options) == changes
    assert BASE.headers == {"HTTP-Referer": "https://a.example", "X-Trace": "1"}


def test_options_add_up() -> None:
    """Settings made from options can be laid over again."""
    twice = override(timeout=1, http_headers={"A": "1"}).override({"http_headers": {"a": "2"}})
    assert (twice.timeout, twice.headers["a"], "A" in twice.headers) == (1, "2", False)


@pytest.mark.parametrize(
    "name", ["colour", "time_out", "headers", "api_key", "allow_insecure_http", "base_url"]
)
def test_an_unknown_option(name: str) -> None:
    """It is a `TypeError` that names it, as for any misspelt keyword, and nothing else is read."""
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        override(**{name: 1, "timeout": "wrong too"})


def test_several_unknown_options() -> None:
    """The first by name is told."""
    with pytest.raises(TypeError, match="argument 'aaa'"):
        override(zzz=1, aaa=None, timeout=1)


def test_plain_http_stays_forbidden_for_a_call() -> None:
    """A call may send elsewhere, under the rule its client was made with."""
    with pytest.raises(ConfigurationError, match="plain http"):
        override(server_url="http://proxy.example")
    free = attrs.evolve(BASE, allow_insecure_http=True)
    assert free.override({"server_url": "http://proxy.example"}).base_url == "http://proxy.example"


BAD_SECONDS = [
    0, -1, -0.0, -0.5, math.nan, math.inf, -math.inf, 10**400, -(10**400), True, False, "15", "",
    b"1", [1], {}, 1j,
]  # fmt: skip


@pytest.mark.parametrize("name", ["timeout", "total_timeout"])
@pytest.mark.parametrize("value", BAD_SECONDS, ids=range(len(BAD_SECONDS)))
def test_bad_seconds(name: str, value: Any) -> None:
    """A time-out is a finite number above 0, named when it is not; it cannot be switched off."""
    with pytest.raises(ConfigurationError) as caught:
        override(**{name: value})
    assert caught.value.message.startswith(f"{name} must be a ")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("value", [1, 0.001, 1e-300, 86_400, sys.float_info.max])
def test_good_seconds(value: float) -> None:
    """Any finite number above 0 comes back as it is."""
    assert checked_seconds("timeout", value) == value


@pytest.mark.parametrize(
    "retries", [3, True, "none", {}, RetryConfig, [RetryConfig()]], ids=range(6)
)
def test_retries_are_a_config(retries: Any) -> None:
    """A number of retries and the like is refused, with what to pass instead."""
    with pytest.raises(ConfigurationError, match="retries must be a RetryConfig, or None"):
        override(retries=retries)
    config = RetryConfig()
    assert checked_retries(config) is config


def test_settings_do_not_show_headers() -> None:
    """What a caller put into a header may be private."""
    private = "a-private-header-value-0815"
    assert_not_leaked(private, repr(override(http_headers={"X-Private": private})))
