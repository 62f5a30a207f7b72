"""What may be repeated: the table, written out a second time, and what a policy changes in it."""

import pytest
from pure.samples import as_json, reply

from openrouter_async import OpenRouterError, RetryConfig
from openrouter_async._operations import CREATE, DELETE, GET, UPDATE, RetryClass
from openrouter_async._options import ONCE
from openrouter_async._responses import error_of
from openrouter_async._retry import (
    RETRY_TABLE,
    AttemptError,
    Condition,
    Verdict,
    condition_of,
    verdict,
)

# condition: for list, get and current; for delete; for update; for create
TABLE = """
REFUSED       retry   retry   retry   retry
UNKNOWN_HOST  once    once    once    once
UNTRUSTED     never   never   never   never
NO_RESPONSE   retry   retry   retry   ambiguous
THROTTLED     retry   retry   retry   retry
UNAVAILABLE   retry   retry   retry   ambiguous
SERVER_ERROR  retry   retry   retry   ambiguous
DEFINITE      never   never   never   never
TRUNCATED     retry   retry   retry   ambiguous
UNREADABLE    never   never   never   ambiguous
REDIRECT      never   never   never   never
ODD_REDIRECT  never   never   never   ambiguous
MALFORMED     never   never   never   ambiguous
"""
COLUMNS = [RetryClass.READ, RetryClass.DELETE, RetryClass.UPDATE, RetryClass.CREATE]
WORDS = {
    "retry": Verdict.RETRY,
    "once": Verdict.ONCE_MORE,
    "never": Verdict.FAIL,
    "ambiguous": Verdict.AMBIGUOUS,
}
ROWS = {Condition[line.split()[0]]: line.split()[1:] for line in TABLE.strip().splitlines()}
CELLS = [
    (condition, column, WORDS[word])
    for condition, words in ROWS.items()
    for column, word in zip(COLUMNS, words, strict=True)
]
cells = pytest.mark.parametrize(
    ("condition", "column", "found"), CELLS, ids=[f"{c.name}-{k.name}" for c, k, _ in CELLS]
)


def failure(condition: Condition, status: int | None = None) -> AttemptError:
    """An attempt that failed in this way."""
    return AttemptError(OpenRouterError("x", status_code=status), condition)


@cells
def test_the_table(condition: Condition, column: RetryClass, found: Verdict) -> None:
    """Every cell says what was promised, and is what the default policy does."""
    assert RETRY_TABLE[condition][column] is found
    assert verdict(failure(condition), column, RetryConfig()) is found


def test_the_table_is_whole() -> None:
    """Every condition has a row, and every row a verdict for every class of operations."""
    assert RETRY_TABLE.keys() == ROWS.keys() == set(Condition)
    assert all(row.keys() == set(RetryClass) for row in RETRY_TABLE.values())
    assert {row.retry for row in (GET, DELETE, UPDATE, CREATE)} == set(RetryClass)


@cells
def test_no_strategy(condition: Condition, column: RetryClass, found: Verdict) -> None:
    """Without retries nothing is repeated, and an ambiguous create is still called that."""
    expected = Verdict.AMBIGUOUS if found is Verdict.AMBIGUOUS else Verdict.FAIL
    for config in (
        ONCE,
        RetryConfig(strategy="none"),
        RetryConfig(strategy="none", status_codes={500}),
    ):
        assert verdict(failure(condition, 500), column, config) is expected


@cells
def test_no_retry_without_an_answer(
    condition: Condition, column: RetryClass, found: Verdict
) -> None:
    """`retry_connection_errors=False` stops every retry without an answer, and no other."""
    config = RetryConfig(retry_connection_errors=False)
    unanswered = condition in (Condition.REFUSED, Condition.UNKNOWN_HOST, Condition.NO_RESPONSE)
    repeated = found in (Verdict.RETRY, Verdict.ONCE_MORE)
    expected = Verdict.FAIL if unanswered and repeated else found
    assert verdict(failure(condition), column, config) is expected


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("status", [400, 404, 409, 418, 451, 501, 505, 511])
def test_statuses_of_the_callers(status: int, column: RetryClass) -> None:
    """`status_codes` adds statuses to the table, never for a create, and takes none away."""
    condition = condition_of(reply(status))
    assert condition is Condition.DEFINITE
    added = verdict(failure(condition, status), column, RetryConfig(status_codes={status}))
    assert added is (Verdict.FAIL if column is RetryClass.CREATE else Verdict.RETRY)
    other = RetryConfig(status_codes=set(range(400, 600)) - {status})
    assert verdict(failure(condition, status), column, other) is Verdict.FAIL


@pytest.mark.parametrize("status", [*range(400, 600), None])
def test_nothing_repeats_a_create_that_may_have_run(status: int | None) -> None:
    """Whatever the policy adds, a create has the verdicts of the table."""
    config = RetryConfig(status_codes=range(400, 600), max_attempts=10)
    for condition in Condition:
        found = verdict(failure(condition, status), RetryClass.CREATE, config)
        assert found is RETRY_TABLE[condition][RetryClass.CREATE]


BY_STATUS = {
    **dict.fromkeys(range(100, 300), "UNREADABLE"),
    **dict.fromkeys(range(300, 400), "ODD_REDIRECT"),
    **dict.fromkeys(range(400, 500), "DEFINITE"),
    **dict.fromkeys(range(500, 1000), "SERVER_ERROR"),
    **dict.fromkeys([408, 502, 503, 504], "UNAVAILABLE"),
    **dict.fromkeys([501, 505, 506, 508, 511], "DEFINITE"),
    429: "THROTTLED",
}


@pytest.mark.parametrize("hundred", range(1, 10))
def test_condition_of_every_status(hundred: int) -> None:
    """Every status has its row; a 5XX that is not listed counts as 500."""
    statuses = range(100 * hundred, 100 * hundred + 100)
    found = {status: condition_of(reply(status, b"[]")).name for status in statuses}
    assert found == {status: BY_STATUS[status] for status in statuses}


@pytest.mark.parametrize("status", range(300, 400))
def test_plain_redirects(status: int) -> None:
    """A redirect that says where to is a definite answer: the request was not carried out."""
    plain = status in (301, 302, 303, 307, 308)
    expected = Condition.REDIRECT if plain else Condition.ODD_REDIRECT
    assert condition_of(reply(status, Location="/elsewhere")) is expected
    assert condition_of(reply(status)) is Condition.ODD_REDIRECT


@pytest.mark.parametrize("status", [200, 201, 299])
@pytest.mark.parametrize(
    ("body", "ending", "expected"),
    [
        (b"[]", "whole", "UNREADABLE"),
        (b'{"data":{}}', "whole", "UNREADABLE"),
        (b"<html>", "whole", "UNREADABLE"),
        (b"", "whole", "UNREADABLE"),
        (b" \n", "whole", "UNREADABLE"),
        (b'{"data":{"name":"\xff"}}', "whole", "UNREADABLE"),
        (b'{"data":"\xff"', "whole", "UNREADABLE"),
        (b"[" * 100_000, "whole", "UNREADABLE"),
        (b'{"data":{', "whole", "TRUNCATED"),
        (b'{"data":"\xc3', "whole", "TRUNCATED"),
        (b'{"data":tru', "whole", "TRUNCATED"),
        (b"[]", "truncated", "TRUNCATED"),
        (b"", "truncated", "TRUNCATED"),
        (b'{"data":{', "too_large", "UNREADABLE"),
    ],
    ids=range(14),
)
def test_conditions_of_a_success(status: int, body: bytes, ending: str, expected: str) -> None:
    """A 2XX is cut when its connection broke or its JSON ends too early; else it is nonsense."""
    answer = reply(status, body, truncated=ending == "truncated", too_large=ending == "too_large")
    assert condition_of(answer).name == expected


MAY_HAVE_RUN = {"NO_RESPONSE", "UNAVAILABLE", "SERVER_ERROR", "TRUNCATED"}


@pytest.mark.parametrize("condition", Condition)
def test_may_have_arrived(condition: Condition) -> None:
    """Only after these may a delete have been carried out, so that a 404 means success."""
    assert failure(condition).may_have_arrived is (condition.name in MAY_HAVE_RUN)


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_a_failure_keeps_its_answer(status: int) -> None:
    """The error, the row and the answer belong together; a failure without an answer has none."""
    answer = reply(status, as_json({"error": {"message": "m"}}))
    failed = AttemptError(error_of(answer), condition_of(answer), answer)
    assert (failed.error.status_code, failed.response) == (status, answer)
    assert failure(Condition.REFUSED).response is None
    assert str(failed) == ""
