"""The tree of errors is the one that is drawn, and every error survives being passed around."""

import copy
import pickle
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from openrouter_async import errors
from openrouter_async.errors import (
    ERRORS_BY_STATUS,
    AmbiguousCreateError,
    APIConnectionError,
    APITimeoutError,
    InvalidRequestError,
    OpenRouterError,
    PagingError,
    ResponseTooLargeError,
    ResponseValidationError,
    RotationError,
    SinkError,
    ambiguous_class,
)

CLASSES = {name: getattr(errors, name) for name in errors.__all__}
AMBIGUOUS = [*AmbiguousCreateError.__subclasses__()]
UNDECLARED = list(errors.UNDECLARED_BY_STATUS.values())
EVERY_CLASS = [*CLASSES.values(), *AMBIGUOUS, *UNDECLARED]

FACTS: dict[str, Any] = {
    "operation": "create",
    "attempts": 3,
    "status_code": 500,
    "code": 500,
    "headers": {"cf-ray": "ray-1"},
    "request_id": "ray-1",
    "retry_after": 2.5,
    "error_type": "server",
    "metadata": {"error_type": "server", "list": [1, {"a": None}]},
    "openrouter_metadata": {"region": "eu"},
    "user_id": "user_1",
    "body": "the body",
}
OWN_FACTS: dict[type[OpenRouterError], dict[str, Any]] = {
    AmbiguousCreateError: {
        "name": "acme",
        "workspace_id": "w",
        "not_before": datetime(2026, 1, 1, tzinfo=UTC),
        "not_after": datetime(2026, 1, 2, tzinfo=UTC),
        "hash": "0" * 64,
    },
    InvalidRequestError: {"parameter": "limit"},
    PagingError: {"offset": 100},
    ResponseValidationError: {"hash": "0" * 64, "row": 7},
    RotationError: {"old_hash": "0" * 64, "new_hash": "1" * 64, "journal": "/j"},
    SinkError: {"hash": "0" * 64, "journal": "/j"},
}


def facts_for(cls: type[OpenRouterError]) -> dict[str, Any]:
    """All facts that a class can carry."""
    own = [facts for base, facts in OWN_FACTS.items() if issubclass(cls, base)]
    return dict(item for facts in [FACTS, *own] for item in facts.items())


def test_these_are_all_facts() -> None:
    """No class has an attribute that the tests below do not know."""
    for cls in EVERY_CLASS:
        declared = {name for base in cls.__mro__ for name in vars(base).get("__annotations__", {})}
        assert declared - {"message"} == facts_for(cls).keys()


def drawn() -> Iterator[tuple[str, str, str | None]]:
    """Name, base and second base of each class in the docstring's drawing."""
    parents = ["OpenRouterError"]
    lines = (errors.__doc__ or "").split("```")[1].strip().splitlines()
    assert lines[0] == parents[0]
    for line in lines[1:]:
        match = re.fullmatch(r"([│ ]*)[├└]── (\w+)(?: \((\w+)\))? .*\S", line)
        assert match is not None, line
        depth = len(match[1]) // 4 + 1
        yield match[2], parents[depth - 1], match[3]
        parents[depth:] = [match[2]]


def test_the_tree_is_as_drawn() -> None:
    """The docstring names every public error once, under its real bases."""
    shown = list(drawn())
    assert sorted(name for name, _, _ in shown) == sorted(CLASSES.keys() - {"OpenRouterError"})
    for name, base, second in shown:
        bases = [CLASSES[base]] + ([ValueError] if second else [])
        assert second in (None, "ValueError")
        assert list(CLASSES[name].__bases__) == bases


def test_the_base_is_an_exception_and_no_more() -> None:
    """`except OpenRouterError` catches all of ours, and nothing of ours is a bare `OSError`."""
    assert OpenRouterError.__bases__ == (Exception,)
    assert all(issubclass(cls, OpenRouterError) for cls in EVERY_CLASS)
    assert not any(issubclass(cls, OSError) for cls in EVERY_CLASS)


@pytest.mark.parametrize("cls", EVERY_CLASS, ids=lambda cls: cls.__qualname__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_everything(cls: type[OpenRouterError], protocol: int) -> None:
    """Class, message and every fact come back, for worker processes and task queues."""
    facts = facts_for(cls)
    error = cls("what happened", **facts)
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is cls
    assert {name: getattr(again, name) for name in facts} == facts
    assert (again.message, str(again), repr(again)) == ("what happened", str(error), repr(error))


@pytest.mark.parametrize("cls", EVERY_CLASS, ids=lambda cls: cls.__qualname__)
def test_copies_keep_everything(cls: type[OpenRouterError]) -> None:
    """A copy has all facts; a deep one shares none of them that can change."""
    error = cls("what happened", **facts_for(cls))
    shallow, deep = copy.copy(error), copy.deepcopy(error)
    assert type(shallow) is type(deep) is cls
    assert vars(shallow) == vars(deep) == vars(error)
    assert shallow.metadata is error.metadata
    assert deep.metadata is not error.metadata


@pytest.mark.parametrize("cls", EVERY_CLASS, ids=lambda cls: cls.__qualname__)
def test_facts_are_there_without_being_given(cls: type[OpenRouterError]) -> None:
    """Every attribute can be read from every error; what is unknown is None, attempts 0."""
    error = cls("what happened")
    defaults = dict.fromkeys(facts_for(cls)) | {"attempts": 0}
    if issubclass(cls, AmbiguousCreateError):
        defaults["name"] = ""
    assert {name: getattr(error, name) for name in defaults} == defaults
    assert cls("", **dict.fromkeys(facts_for(cls))).attempts == 0


@pytest.mark.parametrize("name", ["colour", "statuscode", "message_"])
def test_an_unknown_fact_is_refused(name: str) -> None:
    """A misspelt fact is a `TypeError`, not an attribute that nobody reads."""
    with pytest.raises(TypeError, match=f"PagingError has no attribute .{name}."):
        PagingError("x", **{name: 1})


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, "no"),
        ({"operation": "get"}, "get: no"),
        ({"status_code": 404}, "404 no"),
        ({"operation": "get", "status_code": 404, "attempts": 1}, "get: 404 no"),
        ({"attempts": 2}, "no (2 attempts)"),
        ({"request_id": "ray"}, "no (request ray)"),
        (FACTS, "create: 500 no (request ray-1, 3 attempts)"),
    ],
)
def test_text(facts: dict[str, Any], text: str) -> None:
    """One line says operation, status, message, request and attempts; never headers or body."""
    error = OpenRouterError("no", **facts)
    assert str(error) == text
    assert repr(error) == f"OpenRouterError({text!r})"


@pytest.mark.parametrize("status", ERRORS_BY_STATUS)
def test_the_documented_classes_by_status(status: int) -> None:
    """The names that the official SDK has, for the statuses that the service declares."""
    expected = {
        400: "BadRequestResponseError",
        401: "UnauthorizedResponseError",
        403: "ForbiddenResponseError",
        404: "NotFoundResponseError",
        409: "ConflictResponseError",
        429: "TooManyRequestsResponseError",
        500: "InternalServerResponseError",
    }
    assert ERRORS_BY_STATUS[status].__name__ == expected[status]
    assert ERRORS_BY_STATUS.keys() == expected.keys()


@pytest.mark.parametrize("cause", [*CLASSES.values()])
def test_an_ambiguous_create_is_of_its_statuss_class(cause: type[OpenRouterError]) -> None:
    """`except InternalServerResponseError` keeps working; what callers repeat is never a base."""
    cls = ambiguous_class(cause("x"))
    assert issubclass(cls, AmbiguousCreateError)
    assert not issubclass(cls, APIConnectionError)
    statuses = {
        "InternalServerResponseError",
        "OpenRouterDefaultError",
        "UnexpectedRedirectError",
        "ResponseValidationError",
        "ResponseTooLargeError",
    }
    assert issubclass(cls, cause) is (
        cause.__name__ in statuses or issubclass(AmbiguousCreateError, cause)
    )


def test_ambiguous_classes_are_the_narrowest() -> None:
    """A too large answer is both too large and unreadable; a time-out leaves the plain class."""
    assert issubclass(ambiguous_class(ResponseTooLargeError("x")), ResponseTooLargeError)
    assert issubclass(ambiguous_class(ResponseTooLargeError("x")), ResponseValidationError)
    assert not issubclass(ambiguous_class(ResponseValidationError("x")), ResponseTooLargeError)
    assert ambiguous_class(APITimeoutError("x")) is AmbiguousCreateError
    assert ambiguous_class(APIConnectionError("x")) is AmbiguousCreateError
    assert (
        len({ambiguous_class(cls("x")) for cls in CLASSES.values()} - {AmbiguousCreateError}) == 5
    )
