"""Texts from outside are freed of keys, whole or cut, before anybody sees them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import FUZZ, HASH, KEY, ODD_KEY
from support.secrets import assert_not_leaked

from openrouter_async.secret import MASK, Secret, looks_like_key, scrub


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("nothing to hide", "nothing to hide"),
        (KEY, MASK),
        (f"the key {KEY} is unknown", "the key *** is unknown"),
        (f'{{"key":"{KEY}"}}', '{"key":"***"}'),
        (f"{KEY}, {KEY}.", "***, ***."),
        (f"<b>{KEY}</b>", "<b>***</b>"),
        (KEY[:20], MASK),
        ("sk-or-", MASK),
        ("sk-or-v1-0e6...c96", "***...c96"),
        ("Bearer abc.def~ghi+/=", "Bearer ***"),
        ("Bearer abc.def next", "Bearer *** next"),
        ('"Bearer abc"', '"Bearer ***"'),
        (f"Authorization: Bearer {KEY}\r\nHost: x", "Authorization: Bearer ***\r\nHost: x"),
        ("Bearer", "Bearer"),
        ("Bearer ", "Bearer "),
        (HASH, HASH),
        ("task-or-not", "ta***"),
    ],
    ids=range(18),
)
def test_what_looks_like_a_key_is_masked(text: str, expected: str) -> None:
    """Keys by their prefix, even cut ones, and whatever follows `Bearer`; the rest stays."""
    assert scrub(text) == expected


@pytest.mark.parametrize(
    "known", [ODD_KEY, "a.b*c(d", "\\", "ключ", "Bearer", "sk-or-v1-x y"], ids=range(6)
)
def test_known_secrets_are_masked_whatever_their_shape(known: str) -> None:
    """A secret that no pattern would find is replaced wherever it stands, several ones too."""
    text = f"<{known}{known}> and {KEY}"
    assert scrub(text, Secret(known)) == "<******> and ***"
    assert scrub(f"{known} {ODD_KEY}!", Secret(ODD_KEY), Secret(known)) == "*** ***!"


def test_an_empty_secret_masks_nothing() -> None:
    """No key was known yet: the text stays as it is, and is not filled with masks."""
    assert scrub("some text", Secret("")) == "some text"


@FUZZ
@given(st.text(), st.text(), st.integers(min_value=6, max_value=len(KEY)))
def test_no_cut_key_survives(before: str, after: str, length: int) -> None:
    """However the surroundings look and wherever a key is cut, no piece of it is left."""
    assert_not_leaked(KEY, scrub(before + KEY[:length] + after))


NO_MASK = st.characters(exclude_characters="*")


@FUZZ
@given(st.text(NO_MASK, min_size=1, max_size=20), st.lists(st.text(), min_size=1))
def test_no_known_secret_survives(known: str, parts: list[str]) -> None:
    """A known secret between any texts, and within them, is gone."""
    assert known not in scrub(known.join(parts), Secret(known))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KEY, True),
        ("sk-or-v1-", True),
        ("sk-", True),
        ("sk-proj-other-services-have-keys-too", True),
        (HASH, False),
        ("", False),
        ("sk", False),
        ("desk-or", False),
        (" " + KEY, False),
    ],
    ids=range(9),
)
def test_looks_like_key(text: str, *, expected: bool) -> None:
    """A text is taken for a key by its first characters alone."""
    assert looks_like_key(text) is expected


@FUZZ
@given(
    before=st.text(), after=st.text(), start=st.integers(0, 63), length=st.integers(0, 64),
    upper=st.booleans(),
)  # fmt: skip
def test_no_piece_of_a_known_secret_survives(
    before: str, after: str, start: int, length: int, *, upper: bool
) -> None:
    """Its digits without the prefix, or a part of them, are masked where 12 are in a row."""
    piece = KEY.removeprefix("sk-or-v1-")[start : start + length]
    text = f"{before}{piece.upper() if upper else piece}{after}"
    assert_not_leaked(KEY, scrub(text, Secret(KEY)))


def test_what_stands_around_a_piece_stays() -> None:
    """Only the piece is masked, each one once."""
    digits = KEY.removeprefix("sk-or-v1-")
    text = f"key {digits} of {digits[5:30]}, not {digits[:8]}; {HASH}"
    assert scrub(text, Secret(KEY)) == f"key *** of ***, not {digits[:8]}; {HASH}"
    assert scrub(text, Secret("short")) == text
