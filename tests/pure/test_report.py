"""How values, keys and tables are written for people and for programs."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_async.audit import Severity
from openrouter_async.models import APIKey, Budget, FreeModelDailyRequests, GetCurrentKeyData
from openrouter_async.report import (
    BY_NAME,
    GROUPINGS,
    KEY_COLUMNS,
    KeyRow,
    ago,
    cell,
    csv_head,
    csv_lines,
    csv_rows,
    current_facts,
    json_line,
    json_pieces,
    json_text,
    key_facts,
    percent,
    plain,
    sort_rows,
    usd,
    utf8,
    whole,
)
from openrouter_async.report._tables import Grid, Heading, fit, key_grid, render

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)


def key(**fields: Any) -> APIKey:
    """Make a key."""
    windows = ("", "_daily", "_weekly", "_monthly")
    usage = {f"{kind}{window}": 0.0 for kind in ("usage", "byok_usage") for window in windows}
    return APIKey(**{
        "hash": "ab" * 32, "name": "acme", "label": "sk-or-v1-abc...def", "disabled": False,
        "include_byok_in_limit": False, "created_at": NOW, **usage, **fields,
    })  # fmt: skip


def row(**fields: Any) -> KeyRow:
    """Make a row of a key."""
    return KeyRow(key=key(**fields), now=NOW)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "-"),
        (0, "$0.00"),
        (0.004, "<$0.01"),
        (-0.004, ">-$0.01"),
        (0.005, "$0.01"),
        (1234567.891, "$1,234,567.89"),
        (-3.2, "-$3.20"),
    ],
)
def test_amounts(amount: float | None, text: str) -> None:
    """Cents, and never a zero for what is not nothing."""
    assert usd(amount) == text


@pytest.mark.parametrize(
    ("part", "all_of_it", "text"),
    [
        (None, 5, "-"),
        (5, None, "-"),
        (0, 0, "full"),
        (4.99, 5, "99%"),
        (5, 5, "100%"),
        (0.3, 3, "10%"),
        (60, 5, "1,200%"),
    ],
)
def test_shares(part: float | None, all_of_it: float | None, text: str) -> None:
    """Rounded down, so that 100 % means all of it; a limit of nothing is full."""
    assert percent(part, all_of_it) == text


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=59), "0 min ago"),
        (timedelta(minutes=59), "59 min ago"),
        (timedelta(hours=23), "23 h ago"),
        (timedelta(days=400), "400 d ago"),
        (timedelta(days=-2), "in 2 d"),
    ],
)
def test_ages(span: timedelta, text: str) -> None:
    """In the biggest unit that tells enough."""
    assert ago(NOW - span, NOW) == text
    assert ago(None, NOW) == "never"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (100.0, "100"),
        (-1.5, "-1.5"),
        (1e-09, "1e-09"),
        (NOW, "2026-08-01T12:00:00Z"),
        ("acme", "acme"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=x", r"\t=x"),
        ("\r=x", r"\r=x"),
        ("x\ny", r"x\ny"),
        (" =1", "' =1"),
        ("＝1", "'＝1"),  # noqa: RUF001
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_cells(value: object, text: str) -> None:
    """Numbers stay numbers, also negative ones; text that would be a formula does not."""
    assert cell(value) == text


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_csv_comes_back_as_it_was(texts: list[str]) -> None:
    """Each row is a line; no cell begins like a formula, and an apostrophe is all that is added."""
    written = csv_lines([texts])
    assert written.count("\n") == 1
    [back] = csv.reader(io.StringIO(written))
    assert [text.removeprefix("'") for text in back] == [
        plain(text).removeprefix("'") for text in texts
    ]
    assert not {text.lstrip(" ")[:1] for text in back} & set("=+-@")


STEERING = {chr(code) for code in [*range(32), *range(127, 160), 0x2028, 0x202E, 0x2066]}


@given(st.text() | st.text(sorted(STEERING)))
def test_no_text_steers_the_terminal(text: str) -> None:
    """What is shown is one line of characters that are only seen; in JSON and CSV too."""
    assert not set(plain(text)) & STEERING
    assert not set(csv_lines([[text]])) & (STEERING - {"\n"})
    written = json_line({"name": text})
    assert not set(written) & (STEERING - {"\n"})
    assert json.loads(written) == {"name": text}


def test_harmless_text_is_left_alone() -> None:
    """Whatever its script."""
    for text in ("Schlüssel für 東京 🗝", "👨\u200d👩\u200d👧", "क्\u200dष"):
        assert plain(text) == text
    assert plain("\x1b[31m\u202e\r\n") == r"\x1b[31m\u202e\r\n"


def test_json_can_hold_what_utf8_cannot() -> None:
    """A lone surrogate is escaped, and reads back as itself."""
    document = {"name": "\ud800ü"}
    for written in (json_text(document), json_line(document), "".join(json_pieces(document))):
        data = utf8(written)
        assert "ü".encode() in data
        assert json.loads(data) == {"name": "\ud800ü"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(), VALUES))
def test_json_in_pieces_is_the_same_document(document: dict[str, Any]) -> None:
    """Numbers and text are those of JSON in one piece, to the character; lists may be iterators."""
    lazy = {key: iter(value) if isinstance(value, list) else value
            for key, value in document.items()}  # fmt: skip
    text = "".join(json_pieces(lazy))
    assert text == "".join(json_pieces(document))
    assert repr(json.loads(text)) == repr(json.loads(json_text(document)))
    squeezed = json.dumps(json.loads(text), ensure_ascii=False)
    assert squeezed == json.dumps(document, ensure_ascii=False)


def test_json_is_written_as_its_records_come() -> None:
    """A record has a line, and none is asked for before the one before it was written."""
    asked: list[int] = []

    def records() -> Iterator[dict[str, int]]:
        for number in range(3):
            asked.append(number)
            yield {"number": number}

    text = ""
    for piece in json_pieces({"schema": 1, "keys": records(), "none": iter(())}):
        text += piece
        assert len(asked) == text.count('"number"')
    assert text == (
        '{\n  "schema": 1,\n  "keys": [\n    {"number": 0},\n    {"number": 1},\n'
        '    {"number": 2}\n  ],\n  "none": []\n}\n'
    )


def test_states_are_told_apart() -> None:
    """Disabled, expired and exhausted are three things, and a key can be all of them."""
    assert row().state == "active"
    dead = row(disabled=True, expires_at=NOW, limit=1.0, limit_remaining=-0.5)
    assert dead.state == "disabled expired exhausted"


def test_column_names_are_stable() -> None:
    """Programs read CSV by these names."""
    fields = {"name", "hash", "label", "disabled", "limit", "limit_remaining", "limit_reset"}
    derived = {"severity", "state", "used", "spent_in_window", "workspace", "findings"}
    assert fields | derived <= set(BY_NAME)
    assert set(BY_NAME) - derived <= {field.name for field in APIKey.__attrs_attrs__}
    assert csv_head(KEY_COLUMNS).count(",") == len(KEY_COLUMNS) - 1


def test_csv_row_of_a_key() -> None:
    """The window's spending is not the lifetime's."""
    columns = [BY_NAME[name] for name in ("name", "used", "spent_in_window", "usage", "expires_at")]
    text = csv_rows([row(limit=10.0, limit_remaining=7.5, usage=99.0)], columns)
    assert text == "acme,0.25,2.5,99,\n"


def test_sorting_puts_nothing_last() -> None:
    """Amounts fall, text rises in any case, and what is not known stands behind."""
    rows = [row(name="b", limit=1.0), row(name="A", limit=None), row(name="C", limit=7.0)]
    assert [r.key.limit for r in sort_rows(rows, BY_NAME["limit"])] == [7.0, 1.0, None]
    assert [r.key.name for r in sort_rows(rows, BY_NAME["name"])] == ["A", "b", "C"]
    found = [
        KeyRow(key=key(), now=NOW, severity=severity)
        for severity in (None, Severity.INFO, Severity.CRITICAL, Severity.WARNING)
    ]
    sorted_by_severity = [r.severity for r in sort_rows(found, BY_NAME["severity"])]
    assert sorted_by_severity == ["critical", "warning", "info", None]


@pytest.mark.parametrize(
    ("name", "group"),
    [("acme", "acme"), ("acme-prod-2", "acme…"), ("team/x", "team…"), (" a b ", "a…"), ("-x", "…")],
)
def test_names_are_grouped_by_their_beginning(name: str, group: str) -> None:
    """Up to the first separator."""
    assert GROUPINGS["name"](row(name=name)) == group


@given(st.lists(st.text(max_size=60), max_size=8), st.integers(40, 250))
def test_a_table_of_keys_fits_any_width(names: list[str], width: int) -> None:
    """Whatever the names are, no line is longer than the terminal, and none is lost."""
    from rich.cells import cell_len

    columns = [column for column in KEY_COLUMNS if column.rank]
    grid = key_grid([row(name=name) for name in names], columns)
    lines = render([grid], width=width, colour=False).splitlines()
    assert len(lines) == len(names) + 2
    assert max(map(cell_len, lines)) <= width


def test_a_column_that_was_asked_for_is_whole() -> None:
    """Even if the line gets longer than the terminal."""
    columns = [whole(BY_NAME["hash"]), whole(BY_NAME["name"])]
    text = render([key_grid([row(name="n" * 90)], columns)], width=40, colour=False)
    assert "ab" * 32 in text
    assert "n" * 90 in text


def test_columns_give_way_by_rank() -> None:
    """The important ones first, and those without rank in any case."""
    headings = [Heading(title=str(n), rank=n) for n in (3, 1, 2, 0)]
    assert fit(headings, [10, 10, 10, 10], 22) == [1, 3]
    assert fit(headings, [10, 10, 10, 10], 100) == [0, 1, 2, 3]
    assert fit(headings, [10, 10, 10, 10], 5) == [3]


def test_colours_are_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that judges has its colour; widths do not count the codes."""
    monkeypatch.setenv("TERM", "xterm-256color")
    grid = Grid([Heading(title="a", judges=True), Heading(title="b")], [["critical", "warning"]])
    coloured, bare = (render([grid], width=80, colour=colour) for colour in (True, False))
    assert "\x1b[1;31mcritical\x1b[0m  warning\n" in coloured
    assert "\x1b" not in bare


def test_facts_of_a_key() -> None:
    """Window and lifetime are named."""
    facts = key_facts(
        key(limit=10.0, limit_remaining=-1.0, limit_reset="daily", usage=50.0, external_user="u"),
        NOW,
    )
    assert facts["limit"] == "$10.00, resets daily; $11.00 spent (110%), -$1.00 left"
    assert facts["usage"].endswith("$50.00 ever")
    assert facts["external user"] == "u"
    assert key_facts(key(limit=10.0), NOW)["limit"] == "$10.00, never resets"
    assert key_facts(key(), NOW)["limit"] == "none"


def test_facts_of_the_current_key() -> None:
    """Older answers leave much out; budgets say which one binds."""
    old = current_facts(GetCurrentKeyData(label="l", usage=1.0, is_free_tier=True), NOW)
    assert (old["kind"], old["free tier"], old["limit"]) == ("inference key", "yes", "none")
    budget = Budget(
        scope="member", limit_usd=5.0, spend_usd=1.0, reset_interval="daily", resets_at=NOW
    )
    new = current_facts(
        GetCurrentKeyData(
            label="l",
            usage=1.0,
            is_free_tier=False,
            is_management_key=True,
            include_byok_in_limit=True,
            budgets=[budget, Budget()],
            effective_budget=budget,
            allowed_data_regions=["europe", "us"],
            free_model_daily_requests=FreeModelDailyRequests(limit=50, used=1, remaining=49),
        ),
        NOW,
    )
    assert (
        new["budget 1"]
        == "member: $1.00 of $5.00 daily spent, resets 0 min ago; the effective budget"
    )
    assert new["budget 2"].startswith("budget: ")
    assert new["data regions"] == "europe us"
    assert new["free requests"] == "49 of 50 left today"
    assert new["BYOK usage"].endswith("counts toward the limit")
