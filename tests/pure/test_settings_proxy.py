"""Which proxies a client accepts: one that would be passed over in silence is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import FUZZ, KEY
from support.secrets import assert_not_leaked, tracebacks_with_locals
from yarl import URL

from openrouter_async import AsyncOpenRouter, ConfigurationError, OpenRouter
from openrouter_async._options import checked_proxy

WORD = "gi3xq-word"
GOOD = [
    "http://proxy:3128", "https://proxy.example", "http://10.0.0.1:80/", "http://[::1]:3128",
    f"http://me:{WORD}@proxy:3128", "http://me@proxy", "http://:p%2Fw%23@proxy:1", "HTTP://PROXY:1",
]  # fmt: skip
BAD = [
    "", " ", "http://", "http:", "http:///", "http://:3128", "//proxy:3128", "proxy", "proxy:3128",
    "10.0.0.1:3128", "localhost:3128", "http:proxy:3128", "socks5://proxy:1080",
    "socks5h://proxy:1080", "socks4://proxy", "ftp://proxy", "ws://proxy", "file:///etc/passwd",
    f"socks5://me:{WORD}@proxy:1080", f"me:{WORD}@proxy:3128", f"http://me:{WORD}@",
    f"http://me:{WORD}/x@proxy", f"http://me:{WORD}#x@proxy", f"http://me:{WORD}?x@proxy",
    f"http://me: {WORD}@proxy", f"http://me:{WORD}@proxy:x", f"http://me:{WORD}@proxy:65536",
    f"http://me:{WORD}@proxy:0", "http://proxy:3128/path", "http://proxy?x=1", "http://proxy#x",
    "http://pröxy", "http://proxy\n", "http://pro\txy", "http://proxy\r\nX: y", "http://[::1",
]  # fmt: skip


@pytest.mark.parametrize("proxy", GOOD)
@pytest.mark.parametrize("kind", [AsyncOpenRouter, OpenRouter])
def test_accepted(kind: type[AsyncOpenRouter | OpenRouter], proxy: str) -> None:
    """Proxies of http and https with a host, with or without a login."""
    kind(KEY, proxy=proxy)
    assert URL(proxy).host == URL(checked_proxy("proxy", proxy)).host


@pytest.mark.parametrize("proxy", [*BAD, 7, b"http://proxy", URL("http://proxy"), True])
@pytest.mark.parametrize("kind", [AsyncOpenRouter, OpenRouter])
def test_refused(kind: type[AsyncOpenRouter | OpenRouter], proxy: str) -> None:
    """Anything else is an error that names the parameter, before any I/O, and shows no password."""
    with pytest.raises(ConfigurationError, match=r"^proxy must ") as caught:
        kind(KEY, proxy=proxy)
    assert WORD not in f"{caught.value!r} {caught.value}"
    assert caught.value.__context__ is None


def test_a_password_is_in_no_frame_of_the_check() -> None:
    """A traceback with locals shows the caller's own frames only."""

    def check() -> None:
        checked_proxy("proxy", f"http://me:{KEY}@")

    with pytest.raises(ConfigurationError) as caught:
        check()
    assert_not_leaked(tracebacks_with_locals(caught.value), KEY)


@given(st.text() | st.from_regex(r"\Ahttps?://[!-~]{1,30}\Z"))
@FUZZ
def test_whatever_is_accepted_is_a_proxy_for_aiohttp_too(proxy: str) -> None:
    """No other exception, and the host that was checked is the one that is used."""
    try:
        accepted = checked_proxy("proxy", proxy)
    except ConfigurationError:
        return
    assert URL(accepted).scheme in {"http", "https"}
    assert URL(accepted).host
