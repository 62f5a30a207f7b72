"""`CreateKeysResponse` hands its plaintext to who asks for it, and shows it to nobody else."""

import copy
import dataclasses
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from pure.samples import CREATED, KEY, RECORD
from support.secrets import assert_not_leaked, capture_logs, tracebacks_with_locals

from openrouter_async._converter import structure, to_dict
from openrouter_async.errors import ResponseValidationError
from openrouter_async.models import APIKey, CreateKeysResponse, External
from openrouter_async.secret import Secret

DATA = structure(APIKey, RECORD)


def created(key: str | Secret = KEY) -> CreateKeysResponse:
    """A new key whose record could be read."""
    return CreateKeysResponse(data=DATA, key=key)


@pytest.mark.parametrize("wrap", [str, Secret])
def test_key_and_secret(wrap: Callable[[str], str | Secret]) -> None:
    """Made from text or a `Secret`, it gives the one as `.key` and the other as `.secret`."""
    response = created(wrap(KEY))
    assert type(response.key) is str
    assert response.key == KEY
    assert response.secret == Secret(KEY)
    assert response.data is DATA
    assert response.problem is None


def test_data_raises_the_problem() -> None:
    """A record that could not be read says why when it is asked for; the key is there."""
    problem = ResponseValidationError("response.data.hash: missing")
    response = CreateKeysResponse(key=KEY, problem=problem)
    with pytest.raises(ResponseValidationError) as caught:
        _ = response.data
    assert caught.value is problem
    assert response.key == KEY


def test_data_without_a_problem() -> None:
    """Made without record and reason, it raises our error too, never another one."""
    with pytest.raises(ResponseValidationError, match="no record"):
        _ = CreateKeysResponse(key=KEY).data


def test_a_key_is_required() -> None:
    """Without a key there is no response, and one that is no text is refused."""
    with pytest.raises(TypeError):
        CreateKeysResponse(data=DATA)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="a secret must be a str"):
        CreateKeysResponse(data=DATA, key=None)  # type: ignore[arg-type]


SHOWN: dict[str, Callable[[CreateKeysResponse], object]] = {
    "repr": repr,
    "str": str,
    "format": format,
    "f-string": lambda response: f"{response} {response!r}",
    "%s": lambda response: "%s" % response,  # noqa: UP031
    "asdict": attrs.asdict,
    "asdict, not recursive": lambda response: attrs.asdict(response, recurse=False),
    "astuple": attrs.astuple,
    "to_dict": to_dict,
    "json of to_dict": lambda response: json.dumps(to_dict(response)),
    "json with default=str": lambda response: json.dumps(response, default=str),
    "json of asdict": lambda response: json.dumps(attrs.asdict(response), default=str),
    "evolve": lambda response: attrs.evolve(response, data=None),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "list": lambda response: [response],
    "its secret": lambda response: response.secret,
}


@pytest.mark.parametrize("way", SHOWN)
def test_no_way_shows_the_key(way: str) -> None:
    """Whatever prints, copies or converts the response leaves the plaintext out."""
    assert_not_leaked(KEY, str(SHOWN[way](created())), repr(SHOWN[way](created())))


def test_print_shows_no_key(capsys: pytest.CaptureFixture[str]) -> None:
    """What a notebook or script prints can be mailed."""
    print(created(), [created()])  # noqa: T201
    shown = capsys.readouterr().out
    assert "key=" not in shown
    assert "secret=Secret(***)" in shown
    assert_not_leaked(KEY, shown)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused(protocol: int) -> None:
    """A cache or task queue gets a `TypeError` rather than the plaintext."""
    with pytest.raises(TypeError) as caught:
        pickle.dumps(created(), protocol)
    assert_not_leaked(KEY, str(caught.value))


@pytest.mark.parametrize("refused", [hash, json.dumps, iter, len, bytes, vars, dataclasses.asdict])
def test_what_is_refused(refused: Callable[[Any], object]) -> None:
    """Hashing, iteration and the like are a `TypeError` without the plaintext."""
    with pytest.raises(TypeError) as caught:
        refused(created())
    assert_not_leaked(KEY, str(caught.value))


def test_logs_and_tracebacks_show_no_key() -> None:
    """Neither a log record that has the response nor a traceback with locals."""

    def fail(response: CreateKeysResponse) -> None:
        raise ValueError(response)

    with capture_logs() as logs:
        logging.getLogger("of.a.caller").error("made %s", created(), extra={"made": created()})
    with pytest.raises(ValueError, match="Secret") as caught:
        fail(created())
    assert "made CreateKeysResponse(" in logs.text
    text = tracebacks_with_locals(caught.value)
    assert "response = CreateKeysResponse(" in text
    assert_not_leaked(KEY, logs.text, text, "".join(traceback.format_exception(caught.value)))


def test_equality() -> None:
    """Two responses are equal when record and key are."""
    assert created() == created()
    assert created() != created(KEY + "0")
    assert created() != CreateKeysResponse(key=KEY)


def test_a_partners_key_is_a_secret() -> None:
    """`External` wraps what it is given: neither its repr nor `to_dict` shows it."""
    external = External(user="u-1", api_key=KEY)
    assert external.api_key == Secret(KEY)
    assert to_dict(external) == {"user": "u-1"}
    assert_not_leaked(KEY, repr(external), str(attrs.asdict(external)))
    with pytest.raises(TypeError):
        pickle.dumps(external)


def test_to_dict_of_a_created_key_is_its_record() -> None:
    """JSON-ready data has the record and no key; without a record it raises the reason."""
    assert to_dict(created()) == {"data": to_dict(DATA)}
    assert CREATED["key"] == KEY
    with pytest.raises(ResponseValidationError):
        to_dict(CreateKeysResponse(key=KEY))
