"""Key material that no implicit conversion can print, pickle or serialize."""

from __future__ import annotations

import hmac
import re
import string
from typing import ClassVar, Final, NoReturn, SupportsIndex

MASK: Final = "***"

_LOOKS_LIKE_KEY: Final = re.compile(r"sk-or-[A-Za-z0-9_\-]*|(?<=Bearer )[^\s\"']+")


class Secret:
    """A key that is shown as `Secret(***)`; only `reveal()` returns its text.

    It is not a `str`: formatting, `%s`, JSON, pickling, iteration and hashing produce the mask or a
    `TypeError`, never the text. Copies are the same object.
    """

    __slots__ = ("__value",)
    # With a hash, guesses of the text could be checked offline.
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

    def __init__(self, value: str | Secret) -> None:
        if not isinstance(value, (str, Secret)):
            raise TypeError(f"a secret must be a str, not {type(value).__name__}")
        # The repr of a str subclass, or another of its methods, may show the text.
        self.__value: Final[str] = str.__str__(value) if isinstance(value, str) else value.reveal()

    def reveal(self) -> str:
        """Return the plaintext; keeping it secret from here on is up to the caller."""
        return self.__value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time; a `Secret` never equals a `str`."""
        if not isinstance(other, Secret):
            return NotImplemented
        # Compared as bytes, because compare_digest accepts only ASCII text.
        mine = self.__value.encode(errors="surrogatepass")
        return hmac.compare_digest(mine, other.__value.encode(errors="surrogatepass"))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: store reveal() in a safe place")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret has no state to store: store reveal() in a safe place")


def scrub(text: str, *known: Secret) -> str:
    """Mask everything in `text` that looks like a key, and every `known` secret."""
    for secret in known:
        if secret.reveal():
            text = _without_pieces(text.replace(secret.reveal(), MASK), secret)
    return _LOOKS_LIKE_KEY.sub(MASK, text)


_TELLING: Final = 12
"""This many consecutive characters of a key are masked, wherever they occur and in any case."""
_SAMPLE: Final = 6
"""Any 12 consecutive characters contain a whole block of 6 that starts at a multiple of 6."""
# Not str.lower(), which makes some non-ASCII texts longer: positions must stay the same.
_IN_LOWER_CASE: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_PUBLIC_PREFIX: Final = re.compile(r"\Ask-or-(v[0-9]+-)?")


def _without_pieces(text: str, secret: Secret) -> str:
    """Mask pieces of a secret in a text, such as its digits without the prefix of all keys."""
    private = _PUBLIC_PREFIX.sub("", secret.reveal(), count=1).translate(_IN_LOWER_CASE)
    lowered = text.translate(_IN_LOWER_CASE)
    # Most texts contain no piece of the key; a few substring searches settle that cheaply.
    samples = (private[at : at + _SAMPLE] for at in range(0, len(private) - _SAMPLE + 1, _SAMPLE))
    if len(private) < _TELLING or not any(sample in lowered for sample in samples):
        return text
    pieces = {private[at : at + _TELLING] for at in range(len(private) - _TELLING + 1)}
    masked, shown_to = "", 0
    for start in range(len(lowered) - _TELLING + 1):
        if lowered[start : start + _TELLING] in pieces:
            # Overlapping and adjacent pieces share one mask.
            if start > shown_to or not shown_to:
                masked += text[shown_to:start] + MASK
            shown_to = max(shown_to, start + _TELLING)
    return masked + text[shown_to:]


def looks_like_key(text: str) -> bool:
    """Return whether `text` looks like a key, which must not appear in a URL or a log."""
    return text.startswith("sk-")
