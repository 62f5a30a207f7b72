"""A secret to plant, and checks that find any piece of it."""

import logging
import secrets
import traceback
from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

PUBLIC_PREFIX: Final = "sk-or-v1-"
_TELLING: Final = 12  # this many characters in a row are a leak
_MASKED: Final = 5  # a failure message shows fewer than this many in a row


def planted_secret() -> str:
    """Return a random key in the shape of a real one."""
    return PUBLIC_PREFIX + secrets.token_hex(32)


def assert_not_leaked(secret: str, *places: str | bytes) -> None:
    """Fail if any 12 consecutive characters of the secret occur in any place, ignoring case.

    Its public prefix does not count. The failure shows where, with the secret masked.
    """
    __tracebackhide__ = True
    private = secret.removeprefix(PUBLIC_PREFIX).lower()
    if len(private) < _TELLING:
        raise ValueError("too short to tell from other text")
    for number, place in enumerate(places, 1):
        text = (place.decode("latin-1") if isinstance(place, bytes) else place).lower()
        found = [at for piece in _windows(private, _TELLING) if (at := text.find(piece)) >= 0]
        if found:
            where = _quoted(private, text, min(found))
            raise AssertionError(f"a secret leaked into place {number} {where}") from None


def _windows(private: str, size: int) -> set[str]:
    return {private[start : start + size] for start in range(len(private) - size + 1)}


def _quoted(private: str, text: str, at: int) -> str:
    """Quote the text around an offset with the secret's characters masked."""
    quote = text[max(0, at - 60) : at + 100]
    pieces = _windows(private, _MASKED)
    starts = [i for i in range(len(quote)) if quote[i : i + _MASKED] in pieces]
    hidden = {start + i for start in starts for i in range(_MASKED)}
    shown = "".join("*" if i in hidden else c for i, c in enumerate(quote))
    return f"at offset {at} of {len(text)}, in {shown!r}"


class CapturedLogs(logging.Handler):
    """All log records written during `capture_logs`."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.records: list[logging.LogRecord] = []
        self._texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, and format everything attached to it at once."""
        self.records.append(record)
        formatted = logging.Formatter("%(name)s %(levelname)s %(message)s").format(record)
        parts = [formatted, *(f"{name}={value!r}" for name, value in vars(record).items())]
        arguments = record.args if isinstance(record.args, tuple) else (record.args,)
        parts += [str(argument) for argument in arguments]
        self._texts.append("\n".join(parts))

    @property
    def text(self) -> str:
        """Message, template, arguments, extras, traceback and stack of all records."""
        return "\n".join(self._texts)

    def messages(self, level: int = logging.DEBUG) -> list[str]:
        """Return the messages at or above this level."""
        return [record.getMessage() for record in self.records if record.levelno >= level]


@contextmanager
def capture_logs() -> Iterator[CapturedLogs]:
    """Capture the records of all loggers at every level, including those made in the block."""
    captured = CapturedLogs()
    root = logging.getLogger()
    known = [item for item in root.manager.loggerDict.values() if isinstance(item, logging.Logger)]
    with ExitStack() as stack:
        stack.callback(logging.disable, root.manager.disable)
        logging.disable(logging.NOTSET)
        for logger in [root, *known]:
            stack.callback(setattr, logger, "disabled", logger.disabled)
            stack.callback(logger.setLevel, logger.level)
            logger.disabled = False
            logger.setLevel(logging.DEBUG)
            if logger is root or not logger.propagate:
                logger.addHandler(captured)
                stack.callback(logger.removeHandler, captured)
        yield captured


def tracebacks_with_locals(
    error: BaseException, *, without_locals_of: Container[str] = frozenset()
) -> str:
    """Format an error and everything attached to it, with the locals of every frame.

    Follows causes and contexts even where `raise ... from None` hides them, and enters groups.
    `without_locals_of`: file names whose frames are formatted without locals; a test that holds the
    secret itself passes its own `[__file__]`.
    """
    texts = []
    for link in _chain(error):
        formatted = traceback.TracebackException.from_exception(link, capture_locals=True)
        for frame in formatted.stack:
            if frame.filename in without_locals_of:
                frame.locals = None
        texts += [*formatted.format(chain=False), repr(link), "\n"]
    return "".join(texts)


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or any(link is known for known in found):
            continue
        found.append(link)
        waiting += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
    return found
