"""Clock, secrets and leak counts: each notices what it is there to notice."""

import asyncio
import logging
import os
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
    """Each sleep is recorded as it was asked for, and time is later by all of them."""
    clock = FakeClock()
    real = time.monotonic()
    start = clock.time()
    for seconds in (3600.0, 0.0, 0.25, -1.0):
        await clock.sleep(seconds)
    assert clock.sleeps == [3600.0, 0.0, 0.25, -1.0]
    assert 3600.25 <= clock.time() - start < 3601
    assert time.monotonic() - real < 0.5


async def test_clock_is_the_loops_and_runs() -> None:
    """Before any sleep it says what the loop says, and real time counts too."""
    clock = FakeClock()
    loop = asyncio.get_running_loop()
    assert loop.time() <= clock.time() <= loop.time()
    start = clock.time()
    await asyncio.sleep(0.02)
    assert clock.time() - start >= 0.019
    clock.advance(5)
    assert clock.time() - loop.time() == pytest.approx(5, abs=0.1)


async def test_clock_lets_others_run_once() -> None:
    """A sleep is one turn of the loop, and can be cancelled."""
    clock = FakeClock()
    steps: list[str] = []

    async def other() -> None:
        steps.append("other")

    task = asyncio.create_task(other())
    await clock.sleep(10)
    assert steps == ["other"]
    await task
    sleeping = asyncio.create_task(clock.sleep(10))
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping


def test_clock_without_a_loop_and_its_jitter() -> None:
    """Off a loop it is the monotonic clock; jitter is a set fraction of a recorded bound."""
    clock = FakeClock(fraction=0.5)
    assert time.monotonic() == pytest.approx(clock.time(), abs=0.1)
    assert [clock.jitter(8.0), clock.jitter(1.0)] == [4.0, 0.5]
    clock.fraction = 0.0
    assert clock.jitter(2.0) == 0.0
    assert clock.jitters == [8.0, 1.0, 2.0]


def test_planted_secret_has_the_real_shape() -> None:
    """A prefix, 64 hexadecimal digits, and never the same twice."""
    secret = planted_secret()
    assert secret.startswith(PUBLIC_PREFIX)
    assert len(bytes.fromhex(secret.removeprefix(PUBLIC_PREFIX))) == 32
    assert secret != planted_secret()


@pytest.mark.parametrize(("start", "end"), [(0, None), (9, 21), (30, 42), (-12, None)], ids=str)
def test_any_twelve_characters_are_a_leak(start: int, end: int | None) -> None:
    """In text, bytes, capitals, and in the last of several places."""
    secret = planted_secret()
    piece = secret[start:end]
    for place in (
        piece,
        f"x{piece}y",
        f"x{piece}y".encode(),
        piece.upper(),
        b"\xff" + piece.encode(),
    ):
        with pytest.raises(AssertionError, match="place 2"):
            assert_not_leaked(secret, "fine", place)


def test_a_secret_in_capitals_is_found_in_any_case() -> None:
    """The secret's own case does not matter either."""
    secret = PUBLIC_PREFIX + planted_secret()[9:].upper()
    for place in (secret, secret.lower()):
        with pytest.raises(AssertionError, match="place 1"):
            assert_not_leaked(secret, place)


def test_what_is_no_leak() -> None:
    """Eleven characters, the public prefix, another secret, a mask, nothing."""
    secret = planted_secret()
    places: list[str | bytes] = [
        secret[9:20],
        secret[-11:],
        PUBLIC_PREFIX * 9,
        planted_secret(),
        "sk-or-v1-…",
        "",
        b"",
    ]
    assert_not_leaked(secret, *places)
    with pytest.raises(ValueError, match="too short"):
        assert_not_leaked(PUBLIC_PREFIX + "abc", "text")


def test_report_of_a_leak_holds_no_secret() -> None:
    """It says where and quotes the rest, yet shows no five characters of it."""
    secret = planted_secret()
    text = f"Authorization: Bearer {secret} and {secret[20:40]} again"
    with pytest.raises(AssertionError) as caught:
        assert_not_leaked(secret, text)
    report = str(caught.value)
    assert "authorization: bearer sk-or-v1-***" in report
    assert "offset 31" in report
    private = secret.removeprefix(PUBLIC_PREFIX)
    assert not [i for i in range(60) if private[i : i + 5] in report]


def test_logs_are_captured_with_all_that_hangs_on_them() -> None:
    """Message, arguments, extras, tracebacks; from loggers that are closed, deaf or new."""
    deaf = logging.getLogger("support.test.deaf")
    deaf.propagate = False
    deaf.setLevel(logging.CRITICAL)
    deaf.disabled = True
    logging.disable(logging.ERROR)
    try:
        with capture_logs() as logs:
            deaf.debug("one %s", "argument")
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
    assert logs.messages() == ["one argument", "two", "three by-name", "four"]
    assert logs.messages(logging.ERROR) == ["four"]
    for trace in ("argument", "in-an-extra", "also-there", "in-the-traceback", "deaf.child"):
        assert trace in logs.text
    assert (deaf.level, deaf.disabled, deaf.handlers) == (logging.CRITICAL, True, [])
    assert logging.getLogger().level == logging.WARNING


def test_an_argument_that_hides_in_repr_only_or_in_str_only_is_seen() -> None:
    """Both faces of an argument are searched."""

    class TwoFaced:
        def __repr__(self) -> str:
            return "face-of-repr"

        def __str__(self) -> str:
            return "face-of-str"

    with capture_logs() as logs:
        logging.getLogger("support.test").debug("%s", TwoFaced())
        logging.getLogger("support.test").debug("%r", TwoFaced())
    first, second = logs.text.split("support.test DEBUG")[1:]
    for text in (first, second):
        assert "face-of-repr" in text
        assert "face-of-str" in text


def _fail(depth: str) -> None:
    planted = f"local-of-{depth}"
    raise ValueError(len(planted))


def _caught(depth: str) -> ValueError:
    try:
        _fail(depth)
    except ValueError as error:
        return error
    raise AssertionError


def test_tracebacks_show_locals_of_every_link() -> None:
    """Causes, contexts that `from None` hides, and members of groups."""
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


def test_locals_of_the_tests_own_frames_can_be_left_out() -> None:
    """Those of every other file stay."""
    secret = planted_secret()
    assert secret
    try:
        Path("\0" + "in-pathlib").read_text(encoding="utf-8")
    except ValueError as error:
        own = tracebacks_with_locals(error)
        others = tracebacks_with_locals(error, without_locals_of=[__file__])
    assert secret in own
    assert_not_leaked(secret, others)
    assert "in-pathlib" in others


async def test_leaked_descriptor_is_noticed() -> None:
    """A socket that stays open fails with its description, one that closes in time does not."""
    held: list[socket.socket] = []
    with pytest.raises(AssertionError, match=r"descriptor \d+: socket:"):
        async with no_leaks(within=0.02):
            held.append(socket.socket())
    held.pop().close()
    async with no_leaks(within=1):
        held.append(socket.socket())
        asyncio.get_running_loop().call_later(0.05, held[0].close)


async def test_leaked_task_is_noticed() -> None:
    """A task that still runs fails by name."""

    async def linger() -> None:
        await asyncio.sleep(30)

    task = None
    with pytest.raises(AssertionError, match="linger"):
        async with no_leaks(within=0.02):
            task = asyncio.create_task(linger())
    assert task
    task.cancel()
    async with no_leaks():
        await asyncio.sleep(0)


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


async def test_failure_inside_the_block_is_kept() -> None:
    """The leak check does not replace the test's own error."""
    end, other = os.pipe()
    os.close(end)
    with pytest.raises(IndexError):
        async with no_leaks(within=0.02):
            raise IndexError
    os.close(other)


def test_counting_descriptors_opens_none() -> None:
    """Two counts in a row agree, and a new pipe is two more."""
    before = open_descriptors()
    assert open_descriptors() == before
    ends = os.pipe()
    assert set(open_descriptors()) - set(before) == set(ends)
    for end in ends:
        os.close(end)


def test_counting_descriptors_elsewhere_is_a_visible_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no /proc, the test says so instead of passing."""
    monkeypatch.setattr("support.leaks._DESCRIPTORS", Path("/nowhere"))
    with pytest.raises(pytest.skip.Exception, match="/proc/self/fd"):
        open_descriptors()
