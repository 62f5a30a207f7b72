"""Parameters of foreign types: what means the same is sent, and the rest is refused by name."""

import uuid
from collections import UserDict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
from support.calls import CREATE, LIST, UPDATE, ClientFor
from support.server import ScriptedServer, ThreadedServer

from openrouter_async import (
    AsyncOpenRouter,
    External,
    InvalidRequestError,
    OpenRouter,
    OpenRouterError,
    RetryConfig,
    Secret,
)
from openrouter_async._operations import OPERATIONS, Operation

HASH = "b01d52606dc8f0a8303a7b5cc3fa07109c2e346cec7c0a16b40de462992ce945"
MINIMUM = {
    "create": {"name": "acme"},
    "get": {"hash": HASH},
    "update": {"hash": HASH, "disabled": True},
    "delete": {"hash": HASH},
}


def _fails(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError("a method of a foreign class")


METHODS = [
    "__bool__", "__call__", "__contains__", "__eq__", "__float__", "__format__", "__ge__",
    "__getattr__", "__getitem__", "__gt__", "__hash__", "__index__", "__int__", "__iter__",
    "__le__", "__len__", "__lt__", "__ne__", "__repr__", "__str__", "isascii", "isdigit", "strip",
    "keys", "items", "get", "utcoffset", "astimezone", "isoformat", "startswith", "encode",
]  # fmt: skip


def _hostile(base: type[Any], *arguments: Any, **more: Any) -> Any:
    """An object of a class of which every method of its own raises."""
    methods = dict.fromkeys(METHODS, _fails)
    return type("Hostile", (base,), methods | more)(*arguments)


class _Zone(tzinfo):
    """A zone that raises."""

    def utcoffset(self, when: datetime | None) -> timedelta:
        """Fail."""
        raise ZeroDivisionError


HOSTILE: dict[str, Callable[[], Any]] = {
    "an object": lambda: _hostile(object),
    "an object without a class": lambda: _hostile(object, __class__=property(_fails)),
    "a mapping": lambda: _hostile(dict, {"user": "u"}),
    "a mapping of its own": lambda: _hostile(UserDict, {"user": "u"}),
    "NaT": lambda: pd.NaT,
    "NA": lambda: pd.NA,
    "sNaN": lambda: Decimal("sNaN"),
    "an array": lambda: np.array([1, 2]),
    "an array of flags": lambda: np.array([True, False]),
    "a date of NumPy": lambda: np.datetime64("2026-01-01"),
    "a duration of NumPy": lambda: np.timedelta64(5, "s"),
    "a complex number": lambda: np.complex64(1),
    "a series": lambda: pd.Series([1, 2]),
    "a frame": lambda: pd.DataFrame({"user": [1]}),
    "a huge integer": lambda: 10**5000,
    "a lone surrogate": lambda: "\ud800" * 10,
    "a datetime": lambda: _hostile(datetime, 2027, 1, 1, 0, 0, 0, 0, UTC),
    "a datetime in an odd zone": lambda: datetime(2027, 1, 1, tzinfo=_Zone()),
    "a date": lambda: date(2027, 1, 1),
    "a class": lambda: AsyncOpenRouter,
    "a secret": lambda: Secret("sk-or-v1-" + "0" * 64),
}
HARMLESS = {
    "a str": lambda: _hostile(str, "b0" * 32),
    "an int": lambda: _hostile(int, 50),
    "a float": lambda: _hostile(float, 0.5),
}
"""Their own methods are not asked, so that they pass where their kind is right."""


def _parameters() -> Iterator[Any]:
    for operation in OPERATIONS:
        for parameter in operation.parameters:
            yield pytest.param(operation, parameter.name, id=f"{operation.name}-{parameter.name}")


def _caller_of(client: Any, operation: Operation[Any, Any]) -> Callable[..., Any]:
    place, _, name = operation.call.rpartition(".")
    return getattr(getattr(client, place), name)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("operation", "name"), list(_parameters()))
async def test_hostile_value(
    operation: Operation[Any, Any], name: str, client_for: ClientFor
) -> None:
    """Any value for any parameter is refused by name, before anything is sent."""
    async with ScriptedServer() as server:
        call = _caller_of(client_for(server, retries=None), operation)
        for case, make in HOSTILE.items():
            with pytest.raises(InvalidRequestError) as caught:
                await call(**MINIMUM.get(operation.name, {}) | {name: make()})
            error = caught.value
            assert error.parameter is not None, case
            assert error.parameter.partition(".")[0] == name, case
            assert error.__cause__ is error.__context__ is None
    assert server.requests == []


@pytest.mark.parametrize(("operation", "name"), list(_parameters()))
def test_hostile_value_in_the_blocking_client(operation: Operation[Any, Any], name: str) -> None:
    """The twin refuses the same."""
    with ThreadedServer() as server, OpenRouter("k" * 20, server_url=server.api_url) as client:
        for make in HOSTILE.values():
            with pytest.raises(InvalidRequestError):
                _caller_of(client, operation)(**MINIMUM.get(operation.name, {}) | {name: make()})
    assert server.requests == []


@pytest.mark.parametrize(("operation", "name"), list(_parameters()))
async def test_subclass_with_methods_of_its_own(
    operation: Operation[Any, Any], name: str, client_for: ClientFor
) -> None:
    """It counts for what it is a subclass of, and its methods are not asked."""
    async with ScriptedServer() as server:
        call = _caller_of(client_for(server, retries=None), operation)
        for make in HARMLESS.values():
            with pytest.raises(OpenRouterError):  # a refusal of ours, or the server's 418
                await call(**MINIMUM.get(operation.name, {}) | {name: make()})


AMOUNTS: dict[str, tuple[Any, Any]] = {
    "int64": (np.int64(5), 5),
    "uint8": (np.uint8(5), 5),
    "float64": (np.float64(0.1), 0.1),
    "float32": (np.float32(0.1), 0.1),
    "float16": (np.float16(0.1), 0.1),
    "longdouble": (np.longdouble("0.1"), 0.1),
    "an array of no dimension": (np.array(7), 7),
    "Decimal": (Decimal("0.1"), 0.1),
    "Decimal with zeros": (Decimal("18.900"), 18.9),
    "Fraction": (Fraction(1, 8), 0.125),
    "a subclass": (_hostile(float, 0.5), 0.5),
    "an integer of its own": (type("Own", (), {"__index__": lambda _: 7})(), 7),
    "a number of its own": (type("Own", (), {"__float__": lambda _: 0.5})(), 0.5),
}


@pytest.mark.parametrize("case", AMOUNTS)
async def test_amounts(case: str, client_for: ClientFor) -> None:
    """Every real number is an amount, and is written as short as it can be."""
    value, sent = AMOUNTS[case]
    async with ScriptedServer(CREATE.ok(), UPDATE.ok()) as server:
        client = client_for(server)
        await client.api_keys.create(name="n", limit=value)
        await client.api_keys.update(HASH, limit=value)
    bodies = [request.body for request in server.requests]
    assert bodies == [f'{{"name":"n","limit":{sent}}}'.encode(), f'{{"limit":{sent}}}'.encode()]


async def test_other_values_of_numpy_and_pandas(client_for: ClientFor) -> None:
    """Flags, counts, texts and instants."""
    async with ScriptedServer(LIST.ok(), UPDATE.ok(), CREATE.ok(), CREATE.ok()) as server:
        client = client_for(server)
        await client.api_keys.list(include_disabled=np.bool_(1), offset=np.int32(100))
        await client.api_keys.update(np.str_(HASH), disabled=np.False_)
        moment = pd.Timestamp("2027-01-01T00:00:00.123456789", tz="Europe/Berlin")
        await client.api_keys.create(np.str_("n"), expires_at=moment)
        await client.api_keys.create(
            "n", expires_at=moment.to_pydatetime(warn=False), workspace_id=uuid.UUID(int=7)
        )
    assert server.requests[0].target.endswith("?include_disabled=true&offset=100")
    assert server.requests[1].body == b'{"disabled":false}'
    sent = b'"expires_at":"2026-12-31T23:00:00.123456Z"'
    assert server.requests[2].body == b'{"name":"n",' + sent + b"}"
    assert sent in server.requests[3].body


@pytest.mark.parametrize("flag", [np.True_, np.False_, True])
async def test_flag_is_no_number(flag: Any, client_for: ClientFor) -> None:
    """A bool where a number belongs is a mistake, whatever library it comes from."""
    async with ScriptedServer() as server:
        client = client_for(server)
        with pytest.raises(InvalidRequestError, match="limit must be a number"):
            await client.api_keys.create("n", limit=flag)
        with pytest.raises(InvalidRequestError, match="offset must be an integer"):
            await client.api_keys.list(offset=flag)
    assert server.requests == []


async def test_options_take_them_too(client_for: ClientFor) -> None:
    """What is an amount of USD is an amount of seconds."""
    retries = RetryConfig(
        max_attempts=np.int64(2),
        initial_interval=np.float32(0.001),
        max_interval=Decimal("0.001"),
        status_codes=[np.int16(418)],
    )
    assert retries == RetryConfig(
        max_attempts=2, initial_interval=0.001, max_interval=0.001, status_codes=[418]
    )
    async with ScriptedServer() as server:
        client = client_for(server, max_connections=np.int8(3), timeout=Decimal("2.5"))
        with pytest.raises(OpenRouterError):
            await client.api_keys.get(HASH, retries=retries, total_timeout=np.float32(5))
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "external", [External(user="u"), {"user": "u"}, {"user": "u", "api_key": None}]
)
async def test_external_user_without_a_key(external: Any, client_for: ClientFor) -> None:
    """The service requires the user alone, and an error after it has nothing to mask."""
    async with ScriptedServer(CREATE.ok()) as server:
        client = client_for(server, retries=None)
        await client.api_keys.create("n", external=external)
        with pytest.raises(OpenRouterError):
            await client.api_keys.create("n", external=external)
    assert [request.body for request in server.requests] == [
        b'{"name":"n","external":{"user":"u"}}'
    ] * 2
    assert repr(External(user="u")) == "External(user='u', api_key=None)"
