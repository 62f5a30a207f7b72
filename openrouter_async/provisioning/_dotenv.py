"""Read or set one entry in the text of a dotenv file, leaving every other byte unchanged."""

from __future__ import annotations

import re
from typing import Final

_ENTRY: Final = re.compile(rb"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.\-]*)[ \t]*=[ \t]*")
_BARE: Final = re.compile(r"[A-Za-z0-9_\-./:+@%]+")


def quoted(value: str) -> str:
    """Quote a value so that shells and dotenv parsers agree; safe values stay unquoted."""
    if _BARE.fullmatch(value):
        return value
    if "'" not in value and "\\" not in value:
        return f"'{value}'"
    escaped = re.sub(r'([\\"$`])', r"\\\1", value)
    return f'"{escaped}"'


def with_entry(text: bytes, name: str, value: bytes) -> bytes:
    """Return the text with every entry of that name set to `value`, or with one appended."""
    spans = _spans(text, name)
    if spans:
        for start, end in reversed(spans):  # from the end, so that earlier offsets stay valid
            text = text[:start] + value + text[end:]
        return text
    newline = b"\r\n" if b"\r\n" in text else b"\n"
    gap = newline if text and not text.endswith(b"\n") else b""
    return text + gap + name.encode() + b"=" + value + newline


def values_of(text: bytes, name: str) -> list[bytes]:
    """Return every value of a name, including its quotes."""
    return [text[start:end] for start, end in _spans(text, name)]


def _spans(text: bytes, name: str) -> list[tuple[int, int]]:
    """Find the values of a name; quoted values may span several lines."""
    spans: list[tuple[int, int]] = []
    at = 0
    while at < len(text):
        entry = _ENTRY.match(text, at)
        end = _end_of_value(text, entry.end()) if entry else _end_of_line(text, at)
        if entry and entry[1] == name.encode():
            spans.append((entry.end(), end))
        at = text.find(b"\n", end) + 1 or len(text)
    return spans


def _end_of_value(text: bytes, start: int) -> int:
    quote = text[start : start + 1]
    if quote in (b"'", b'"', b"`"):
        at = start + 1
        while at < len(text):
            if text[at : at + 1] == b"\\":
                at += 1
            elif text[at : at + 1] == quote:
                return at + 1
            at += 1
    # Unquoted, or the quote is never closed: the value ends at a comment or with the line.
    comment = re.compile(rb"[ \t]+#").search(text, start, _end_of_line(text, start))
    return comment.start() if comment else _end_of_line(text, start)


def _end_of_line(text: bytes, start: int) -> int:
    end = text.find(b"\n", start)
    end = len(text) if end < 0 else end
    return end - 1 if end > start and text[end - 1 : end] == b"\r" else end
