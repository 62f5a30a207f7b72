"""Which headers a caller may set, and how they are joined with the client's own."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import FUZZ, KEY
from support.secrets import assert_not_leaked

from openrouter_async import CallOptions, ConfigurationError, Secret
from openrouter_async._options import headers_from

OPTIONS = {
    "http_referer": "HTTP-Referer",
    "x_open_router_title": "X-OpenRouter-Title",
    "x_open_router_categories": "X-OpenRouter-Categories",
}
MARK = "gi3xq"

BAD_VALUES = [
    f"{MARK}\r", f"{MARK}\n", f"{MARK}\r\nX: y", f"{MARK}\0", f"{MARK}\x1b[2J", f"{MARK}\x7f",
    f"{MARK}é", f"{MARK}€", f"{MARK}\ud800", f"{MARK}\u2028", 7, True, MARK.encode(), [MARK],
    Secret(MARK),
]  # fmt: skip
BAD_NAMES = [
    "", " ", "X Y", "X:", "X\r\nY", "X\0", "Ünicode", "X-é", "(X)", '"X"', "X/Y", "X,Y", "X;Y",
    "X=Y", "[X]", "{X}", "X\ud800", None, 7, b"X", ("X",),
]  # fmt: skip
OURS = [
    "Authorization", "Proxy-Authorization", "Host", "Cookie", "Content-Type", "Content-Length",
    "Content-Encoding", "Content-Anything", "Transfer-Encoding", "Accept-Encoding", "Connection",
]  # fmt: skip


def refused(**options: Any) -> str:
    """The message for options that are refused."""
    with pytest.raises(ConfigurationError) as caught:
        headers_from(options)  # type: ignore[arg-type]
    error = caught.value
    assert error.__cause__ is error.__context__ is None
    assert MARK not in str(error) + repr(vars(error))
    return error.message


def test_nothing_asked_for() -> None:
    """Without options, and with options that are None, there are no headers."""
    assert headers_from({}) == {}
    assert headers_from(dict.fromkeys([*OPTIONS, "http_headers"])) == {}  # type: ignore[arg-type]
    assert headers_from({"http_headers": {}, "timeout": 1}) == {}


@pytest.mark.parametrize("option", OPTIONS)
def test_the_applications_headers(option: str) -> None:
    """The three documented options become the three documented headers."""
    options: Any = {option: "https://example.com; a=1,b\t~"}
    assert headers_from(options) == {OPTIONS[option]: "https://example.com; a=1,b\t~"}


@pytest.mark.parametrize("option", [*OPTIONS, "http_headers"])
@pytest.mark.parametrize("value", BAD_VALUES, ids=range(len(BAD_VALUES)))
def test_bad_values(option: str, value: Any) -> None:
    """Line breaks, control characters and non-ASCII are refused by option, and never shown."""
    if option == "http_headers":
        assert refused(http_headers={"X-Ok": value}).startswith(
            "http_headers['X-Ok'] must be a str"
        )
    else:
        assert refused(**{option: value}).startswith(f"{option} must be a str of printable ASCII")


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_bad_names(name: Any) -> None:
    """What HTTP does not allow as a header's name is refused."""
    assert "not a valid header name" in refused(http_headers={name: MARK})


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("change", [str, str.lower, str.upper, str.swapcase])
def test_the_clients_own_headers(name: str, change: Any) -> None:
    """Credentials, framing and encodings are the client's business, in any case."""
    assert refused(http_headers={change(name): MARK}).endswith("the client sets it itself")


@pytest.mark.parametrize(
    "name", ["User-Agent", "Accept", "X-Trace", "Hosts", "X-Cookie", "traceparent"]
)
def test_other_headers(name: str) -> None:
    """Every other header may be set."""
    assert headers_from({"http_headers": {name: "v"}}) == {name: "v"}


@pytest.mark.parametrize(
    "headers", ["X: y", ["X"], [("X", "y")], 7, True, Secret("x")], ids=range(6)
)
def test_headers_are_a_mapping(headers: Any) -> None:
    """Text, pairs and the like are refused."""
    assert refused(http_headers=headers) == "http_headers must be a mapping of names to values"


@pytest.mark.parametrize("name", ["HTTP-Referer", "http-referer", "HTTP-REFERER"])
def test_a_name_goes_out_once(name: str) -> None:
    """The same header by option and by name, in whatever case: what is more special wins."""
    options: CallOptions = {"http_referer": "option", "http_headers": {name: "header"}}
    assert headers_from(options) == {name: "header"}
    assert headers_from({"http_headers": {"X-A": "1", name: "2", "x-a": "3"}}) == {
        name: "2",
        "x-a": "3",
    }


def test_a_secret_is_no_header_value() -> None:
    """A key wrapped as a `Secret` is not unwrapped into a header, nor shown."""
    assert_not_leaked(KEY, refused(http_headers={"X-Key": Secret(KEY)}))


@FUZZ
@given(st.dictionaries(st.text(), st.text()), st.none() | st.text())
def test_any_headers(headers: dict[str, str], referer: str | None) -> None:
    """Whatever is passed: our error, or headers that cannot break a request apart."""
    try:
        made = headers_from({"http_headers": headers, "http_referer": referer})
    except ConfigurationError:
        return
    for name, value in made.items():
        assert name.isascii()
        assert name.isprintable()
        assert value.isascii()
        assert value.replace("\t", "").isprintable()
        assert not set(name) & set(" :\t\r\n")
