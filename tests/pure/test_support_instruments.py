"""Clock, secrets and leak counts: each notices what it is there to notice."""

import asyncio
import logging
import socket
import threading
import time
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.leaks import no_leaks, no_leaks_blocking, open_descriptors
from support.secrets import (
    PUBLIC_PREFIX,
    assert_not_leaked,
    capture_logs,
    planted_secret,
    tracebacks_with_locals,
)


async def test_clock_sleeps_without_waiting() -> None:
    """Sleeps and bounds of jitter are recorded; time is the loop's, and later by all sleeps."""
    clock = FakeClock(fraction=0.5)
    real = asyncio.get_running_loop().time
    assert real() <= clock.time() <= real()
    for seconds in (3600.0, 0.0, 0.25, -1.0):
        await clock.sleep(seconds)
    clock.advance(5)
    assert clock.sleeps == [3600.0, 0.0, 0.25, -1.0]
    assert clock.time() - real() == pytest.approx(3605.25, abs=1)
    assert ([clock.jitter(8.0), clock.jitter(1.0)], clock.jitters) == ([4.0, 0.5], [8.0, 1.0])


async def test_clock_lets_others_run_once() -> None:
    """A sleep is one turn of the loop, and can be cancelled."""
    clock = FakeClock()
    steps: list[str] = []
    asyncio.get_running_loop().call_soon(steps.append, "other")
    await clock.sleep(10)
    assert steps == ["other"]
    sleeping = asyncio.create_task(clock.sleep(10))
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping


@pytest.mark.parametrize(("start", "end"), [(0, None), (9, 21), (30, 42), (-12, None)], ids=str)
def test_any_twelve_characters_are_a_leak(start: int, end: int | None) -> None:
    """In text, bytes, either case, and in the last of several places."""
    secret = planted_secret()
    assert len(bytes.fromhex(secret.removeprefix(PUBLIC_PREFIX))) == 32
    piece = secret[start:end]
    for place in (piece, f"x{piece}y".encode(), piece.upper(), b"\xff" + piece.encode()):
        for same in (secret, PUBLIC_PREFIX + secret.removeprefix(PUBLIC_PREFIX).upper()):
            with pytest.raises(AssertionError, match="place 2"):
                assert_not_leaked(same, "fine", place)


def test_what_is_no_leak() -> None:
    """Eleven characters, the public prefix, another secret, a mask, nothing."""
    secret = planted_secret()
    pieces = (secret[9:20], secret[-11:], PUBLIC_PREFIX * 9, planted_secret(), "sk-or-v1-…")
    assert_not_leaked(secret, *pieces, "", b"")
    with pytest.raises(ValueError, match="too short"):
        assert_not_leaked(PUBLIC_PREFIX + "abc", "text")


def test_report_of_a_leak_holds_no_secret() -> None:
    """It says where and quotes the rest, yet shows no five characters of it."""
    secret = planted_secret()
    with pytest.raises(AssertionError) as caught:
        assert_not_leaked(secret, f"Authorization: Bearer {secret} and {secret[20:40]} again")
    report = str(caught.value)
    assert "authorization: bearer sk-or-v1-***" in report
    private = secret.removeprefix(PUBLIC_PREFIX)
    assert not [i for i in range(60) if private[i : i + 5] in report]


class TwoFaced:
    """What `repr` and `str` show differs."""

    def __repr__(self) -> str:
        return "face-of-repr"

    def __str__(self) -> str:
        return "face-of-str"


def test_logs_are_captured_with_all_that_hangs_on_them() -> None:
    """Message, both faces of arguments, extras, tracebacks; of loggers closed, deaf or new."""
    deaf = logging.getLogger("support.test.deaf")
    deaf.propagate = False
    deaf.setLevel(logging.CRITICAL)
    deaf.disabled = True
    logging.disable(logging.ERROR)
    try:
        with capture_logs() as logs:
            deaf.debug("one %s", TwoFaced())
            logging.getLogger("support.test.new").info("two", extra={"hidden": "in-an-extra"})
            logging.getLogger().debug("three %(word)s", {"word": "by-name", "unused": "also-there"})
            try:
                int("in-the-traceback")
            except ValueError:
                logging.getLogger("support.test.deaf.child").exception("four")
        deaf.critical("after")
        assert logging.root.manager.disable == logging.ERROR
    finally:
        logging.disable(logging.NOTSET)
    assert logs.messages() == ["one face-of-str", "two", "three by-name", "four"]
    assert logs.messages(logging.ERROR) == ["four"]
    for trace in ("face-of-repr", "in-an-extra", "also-there", "in-the-traceback", "deaf.child"):
        assert trace in logs.text
    assert (deaf.level, deaf.disabled, deaf.handlers) == (logging.CRITICAL, True, [])
    assert logging.getLogger().level == logging.WARNING


def _fail(depth: str) -> None:
    planted = f"local-of-{depth}"
    raise ValueError(len(planted))


def _caught(depth: str) -> ValueError:
    with pytest.raises(ValueError, match=r"\d") as caught:
        _fail(depth)
    return caught.value


def test_tracebacks_show_locals_of_every_link() -> None:
    """Causes, contexts that `from None` hides, and members of groups; the test's own if asked."""
    error = KeyError("top")
    error.__context__ = _caught("hidden-context")
    error.__suppress_context__ = True
    error.__cause__ = _caught("cause")
    member = _caught("member")
    member.__context__ = _caught("behind-member")
    member.__suppress_context__ = True
    error.__cause__.__context__ = ExceptionGroup("group", [member, error])
    error.add_note("a-note")
    text = tracebacks_with_locals(error)
    for depth in ("hidden-context", "cause", "member", "behind-member"):
        assert f"planted = 'local-of-{depth}'" in text
    assert "a-note" in text
    assert "KeyError('top')" in text
    assert "local-of" not in tracebacks_with_locals(_caught("own"), without_locals_of=[__file__])


async def test_what_is_left_open_is_noticed() -> None:
    """Descriptors, tasks and threads, each by name; none that is closed in time."""
    end = asyncio.Event()
    sock: list[socket.socket] = []
    with pytest.raises(AssertionError, match=r"descriptor \d+: socket:"):
        async with no_leaks(within=0.02):
            sock.append(socket.socket())
    async with no_leaks(within=1):
        other = socket.socket()
        asyncio.get_running_loop().call_later(0.05, other.close)
    sock[0].close()
    with pytest.raises(AssertionError, match="Event"):
        async with no_leaks(within=0.02):
            task = asyncio.create_task(end.wait())
    end.set()
    await task
    with pytest.raises(IndexError):  # noqa: PT012 - the test's own error is kept
        async with no_leaks(within=0.02):
            sock.append(socket.socket())
            raise IndexError
    sock[1].close()


def test_leaked_thread_is_noticed() -> None:
    """Also without a loop."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="straggler")
    with pytest.raises(AssertionError, match="straggler"), no_leaks_blocking(within=0.02):
        thread.start()
    end.set()
    thread.join()
    with no_leaks_blocking(within=1):
        threading.Thread(target=time.sleep, args=(0.05,)).start()


def test_counting_descriptors_opens_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two counts in a row agree; where there is no /proc, the test is skipped by name."""
    assert open_descriptors() == open_descriptors()
    monkeypatch.setattr("support.leaks._DESCRIPTORS", Path("/nowhere"))
    with pytest.raises(pytest.skip.Exception, match="/proc/self/fd"):
        open_descriptors()
