"""Where a client may send its key, and which keys can be sent at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import FUZZ, KEY
from support.secrets import assert_not_leaked, tracebacks_with_locals
from yarl import URL

from openrouter_async import ConfigurationError, Secret
from openrouter_async._options import DEFAULT_SERVER_URL, checked_key, checked_url

GOOD = {
    "https://openrouter.ai/api/v1": "https://openrouter.ai/api/v1",
    "https://openrouter.ai/api/v1/": "https://openrouter.ai/api/v1",
    "https://openrouter.ai/api/v1///": "https://openrouter.ai/api/v1",
    "https://proxy.example:8443/openrouter": "https://proxy.example:8443/openrouter",
    "https://example": "https://example",
    "https://example/": "https://example",
    "https://xn--nxasmq6b.example/v1": "https://xn--nxasmq6b.example/v1",
    "https://10.0.0.1": "https://10.0.0.1",
    "https://[2001:db8::1]:443/v1": "https://[2001:db8::1]:443/v1",
    "https://example/a@b": "https://example/a@b",
    "https://example/%20x": "https://example/%20x",
    "HTTPS://Example.com/V1": "HTTPS://Example.com/V1",
    "http://localhost:8080/api/v1": "http://localhost:8080/api/v1",
    "http://LOCALHOST": "http://LOCALHOST",
    "http://127.0.0.1:1/x/": "http://127.0.0.1:1/x",
    "http://127.8.9.10": "http://127.8.9.10",
    "http://[::1]:8080": "http://[::1]:8080",
}

NOT_LOOPBACK = [
    "http://openrouter.ai/api/v1",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example",
    "http://xlocalhost",
    "http://128.0.0.1",
    "http://0.0.0.0",
    "http://127.1",
    "http://2130706433",
    "http://[::2]",
    "http://10.0.0.1",
]

BAD = [
    "", " ", "openrouter.ai/api/v1", "//openrouter.ai", "/api/v1", "https:", "https://", "https:///v1",
    "https:openrouter.ai", "ftp://openrouter.ai", "file:///etc/passwd", "ws://localhost", "https://:443",
    "https://user@openrouter.ai", "https://user:pw@openrouter.ai", "https://:pw@openrouter.ai",
    "https://@openrouter.ai", "https://openrouter.ai\\@evil.example", "https://a@b@openrouter.ai",
    "https://openrouter.ai/v1?x=1", "https://openrouter.ai/v1?", "https://openrouter.ai?",
    "https://openrouter.ai/v1#x", "https://openrouter.ai/v1#", "https://openrouter.ai#",
    "https://openrouter.ai /v1", " https://openrouter.ai", "https://openrouter.ai\n", "https://a\tb",
    "https://openrouter.ai/v1\r\nX: y", "https://openrouter.ai/\0", "https://openrouter.ai/\x7f",
    "https://öpenrouter.ai", "https://openrouter.ai/é", "https://openrouter.ai/\ud800",
    "https://openrouter.ai:65536", "https://openrouter.ai:-1", "https://openrouter.ai:x",
    "https://[::1", "https://::1]", "https://[zz]:1",
]  # fmt: skip


def refused(url: object, *, allow: bool = False) -> str:
    """The message for a base URL that is refused."""
    with pytest.raises(ConfigurationError) as caught:
        checked_url(url, allow_insecure_http=allow)
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.__cause__ is error.__context__ is None
    assert error.message.startswith("server_url ")
    return error.message


@pytest.mark.parametrize("url", GOOD)
def test_good_urls(url: str) -> None:
    """Secure anywhere and plain to loopback pass; slashes at the end are dropped."""
    assert checked_url(url, allow_insecure_http=False) == GOOD[url]


def test_the_service_itself() -> None:
    """The default is the documented base URL, and passes its own check."""
    assert DEFAULT_SERVER_URL == "https://openrouter.ai/api/v1"
    assert checked_url(DEFAULT_SERVER_URL, allow_insecure_http=False) == DEFAULT_SERVER_URL


@pytest.mark.parametrize("url", NOT_LOOPBACK)
def test_plain_http_is_for_loopback(url: str) -> None:
    """Elsewhere the key would travel unencrypted: refused, unless that is asked for."""
    assert "plain http" in refused(url)
    assert checked_url(url, allow_insecure_http=True) == url


@pytest.mark.parametrize("url", BAD, ids=range(len(BAD)))
def test_bad_urls(url: str) -> None:
    """No other scheme, no user, no query, no fragment, no odd character, insecure or not."""
    assert refused(url) == refused(url, allow=True)


@pytest.mark.parametrize(
    "url", [None, 7, b"https://openrouter.ai", Secret("https://x"), URL("https://x")], ids=range(5)
)
def test_a_url_is_text(url: object) -> None:
    """Anything that is no str is refused."""
    assert "must be a URL" in refused(url)


def test_a_password_in_a_url_is_not_shown() -> None:
    """The message does not repeat what it refuses."""
    assert "hunter2" not in refused("https://user:hunter2@openrouter.ai")
    assert_not_leaked(KEY, refused(f"https://openrouter.ai/v1?key={KEY}"))


@FUZZ
@given(st.text() | st.builds("https://{}{}".format, st.text(), st.text()), st.booleans())
def test_any_url(url: str, allow: bool) -> None:  # noqa: FBT001
    """Whatever it is: refused by our error, or a URL to which a path can be added."""
    try:
        base = checked_url(url, allow_insecure_http=allow)
    except ConfigurationError:
        return
    assert base.isascii()
    assert not base.endswith("/")
    assert not set(base) & set("?# \r\n")


@pytest.mark.parametrize("key", [KEY, "x", "!~", "a:b/c+d=="])
def test_good_keys(key: str) -> None:
    """Any visible ASCII can be a key, and the very same `Secret` comes back."""
    secret = Secret(key)
    assert checked_key(secret) is secret


@pytest.mark.parametrize(
    "key",
    [
        "", " ", "\n", f"{KEY}\n", f"\n{KEY}", f"{KEY} ", f"{KEY[:20]}\n{KEY[20:]}",
        f"{KEY}\r\nX: y",
        f"{KEY}\0", f"{KEY}\t", f"{KEY}\x7f", f"{KEY}é", f"{KEY}€", f"{KEY}\ud800",
        f"{KEY}\u00a0", f"{KEY}\u200b",
    ],
    ids=range(16),
)  # fmt: skip
def test_bad_keys(key: str) -> None:
    """A key with white space, a control character or non-ASCII is refused without being shown."""
    with pytest.raises(ConfigurationError) as caught:
        checked_key(Secret(key))
    error = caught.value
    assert error.message.startswith("api_key ")
    text = tracebacks_with_locals(error, without_locals_of=[__file__])
    assert_not_leaked(KEY, str(error), repr(vars(error)), text)


def test_an_empty_key_says_what_to_do() -> None:
    """The commonest mistake, an unset variable, is told as that."""
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        checked_key(Secret(""))
