"""A `Secret` gives its text to `reveal()` and to nothing else."""

import copy
import dataclasses
import hmac
import json
import logging
import pickle
import pprint
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import attrs
import msgspec
import pytest
from pure.samples import KEY
from support.secrets import assert_not_leaked, capture_logs, tracebacks_with_locals

from openrouter_async.secret import MASK, Secret


@attrs.define
class Holder:
    """Something of a caller's that holds a secret."""

    secret: Secret


@dataclasses.dataclass
class PlainHolder:
    """The same, of the standard library."""

    secret: Secret


SHOWS: dict[str, tuple[Callable[[Secret], object], str]] = {
    "repr": (repr, "Secret(***)"),
    "str": (str, MASK),
    "format": (format, MASK),
    "format with a width": (lambda secret: format(secret, ">5"), "  ***"),
    "%s": (lambda secret: "%s" % secret, MASK),  # noqa: UP031
    "%r": (lambda secret: "%r" % (secret,), "Secret(***)"),  # noqa: UP031
    "str.format": (
        lambda secret: "{} {0!r}".replace("{}", "{0}").format(secret),
        "*** Secret(***)",
    ),
    "f-string": (lambda secret: f"{secret} {secret!r} {secret!s:>4}", "*** Secret(***)  ***"),
    "template": (lambda secret: string.Template("$key").substitute(key=secret), MASK),
    "print of a list": (lambda secret: str([secret]), "[Secret(***)]"),
    "pprint": (pprint.pformat, "Secret(***)"),
    "json with default=str": (lambda secret: json.dumps(secret, default=str), '"***"'),
    "json with default=repr": (
        lambda secret: json.dumps([secret], default=repr),
        '["Secret(***)"]',
    ),
    "repr of a holder": (lambda secret: repr(Holder(secret)), "Holder(secret=Secret(***))"),
    "attrs.asdict of a holder": (
        lambda secret: repr(attrs.asdict(Holder(secret))),
        "{'secret': Secret(***)}",
    ),
    "attrs.astuple of a holder": (
        lambda secret: repr(attrs.astuple(Holder(secret))),
        "(Secret(***),)",
    ),
    "dataclasses.asdict of a holder": (
        lambda secret: repr(dataclasses.asdict(PlainHolder(secret))),
        "{'secret': Secret(***)}",
    ),
}

REFUSES: dict[str, Callable[[Any], object]] = {
    "json.dumps": json.dumps,
    "json.dumps as a key": lambda secret: json.dumps({"key": secret}),
    "msgspec": msgspec.json.encode,
    **{
        f"pickle, protocol {protocol}": lambda secret, protocol=protocol: pickle.dumps(
            secret, protocol
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "pickle of a holder": lambda secret: pickle.dumps(Holder(secret)),
    "__reduce__": lambda secret: secret.__reduce__(),
    "__getstate__": lambda secret: secret.__getstate__(),
    "iteration": iter,
    "list": list,
    "unpacking": lambda secret: [*secret],
    "len": len,
    "hash": hash,
    "member of a set": lambda secret: {secret},
    "key of a dict": lambda secret: {secret: 1},
    "in": lambda secret: "sk" in secret,
    "in a str": lambda secret: secret in "sk",
    "index": lambda secret: secret[0],
    "slice": lambda secret: secret[:4],
    "sorting": lambda secret: sorted([secret, Secret("b")]),
    "order": lambda secret: secret < Secret("b"),
    "vars": vars,
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "int": int,
    "concatenation": lambda secret: "Bearer " + secret,
    "concatenation from the left": lambda secret: secret + "",
    "repetition": lambda secret: secret * 2,
    "join": lambda secret: " ".join(["Bearer", secret]),  # noqa: FLY002
    "quoting for a URL": quote,
}


@pytest.mark.parametrize("way", SHOWS)
def test_shows_a_mask(way: str) -> None:
    """What turns an object into text gets the mask."""
    convert, expected = SHOWS[way]
    assert convert(Secret(KEY)) == expected


@pytest.mark.parametrize("way", REFUSES)
def test_refuses(way: str) -> None:
    """What would read, store or compare the text gets a `TypeError` that does not hold it."""
    with pytest.raises(TypeError) as caught:
        REFUSES[way](Secret(KEY))
    assert_not_leaked(KEY, str(caught.value), repr(caught.value.args))


def test_has_no_dict() -> None:
    """There is no `__dict__` to look into, and no attribute can be added."""
    secret = Secret(KEY)
    assert not hasattr(secret, "__dict__")
    with pytest.raises(AttributeError):
        secret.note = "x"  # type: ignore[attr-defined]


def test_reveal_gives_the_text() -> None:
    """Who asks by name gets the text; wrapping a secret again changes nothing."""
    assert Secret(KEY).reveal() == KEY
    assert Secret(Secret(KEY)).reveal() == KEY


@pytest.mark.parametrize(
    "value", [None, 7, KEY.encode(), [KEY]], ids=lambda value: type(value).__name__
)
def test_only_text_can_be_a_secret(value: Any) -> None:
    """Anything but text is refused by its type, without being shown."""
    with pytest.raises(TypeError, match=f"not {type(value).__name__}") as caught:
        Secret(value)
    assert_not_leaked(KEY, str(caught.value))


def test_copies_are_the_same_object() -> None:
    """Neither a shallow nor a deep copy makes a second place where the text lies."""
    secret = Secret(KEY)
    assert copy.copy(secret) is secret
    assert copy.deepcopy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (KEY, KEY, True),
        (KEY, KEY[:-1], False),
        (KEY, KEY + "0", False),
        ("", "", True),
        ("é", "é", True),
        ("é", "e", False),
        ("\ud800", "\ud800", True),
        ("\ud800", "\ud801", False),
    ],
)
def test_equality_of_secrets(one: str, other: str, *, equal: bool) -> None:
    """Two secrets are equal when their texts are, whatever characters those have."""
    assert (Secret(one) == Secret(other)) is equal
    assert (Secret(one) != Secret(other)) is not equal


@pytest.mark.parametrize("other", [KEY, KEY.encode(), None, MASK, 0], ids=range(5))
def test_never_equals_anything_else(other: object) -> None:
    """Not even its own text, so that `==` cannot be used to guess; and there is no error."""
    assert Secret(KEY) != other
    assert not Secret(KEY) == other  # noqa: SIM201
    assert Secret(KEY).__eq__(other) is NotImplemented


def test_comparison_takes_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equality is decided by `hmac.compare_digest` over all bytes, and by nothing before it."""
    seen: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        seen.append((one, other))
        return True

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert Secret("a") == Secret("bcd")
    assert seen == [(b"a", b"bcd")]


def test_logging_shows_the_mask() -> None:
    """A secret as an argument, an extra or the message itself of a log record is masked."""
    secret = Secret(KEY)
    with capture_logs() as logs:
        logger = logging.getLogger("of.a.caller")
        logger.warning("key %s", secret, extra={"key": secret})
        logger.warning(secret)
    assert logs.messages() == ["key ***", MASK]
    assert_not_leaked(KEY, logs.text)


def test_traceback_with_locals_shows_the_mask() -> None:
    """A frame that has a secret among its locals shows the mask in a traceback with locals."""

    def fail(secret: Secret) -> None:
        raise ValueError(secret)

    with pytest.raises(ValueError, match=r"\*\*\*") as caught:
        fail(Secret(KEY))
    text = tracebacks_with_locals(caught.value)
    assert "secret = Secret(***)" in text
    assert_not_leaked(KEY, text)
