"""The third state of a parameter is one object that is told from None and from every value."""

import copy
import enum
import pickle

import attrs
import pytest

from openrouter_async import OMITTED, Omitted
from openrouter_async._operations import OPERATIONS


def test_omitted() -> None:
    """It shows by its name in signatures, is false, and equals nothing else."""
    assert repr(OMITTED) == "OMITTED"
    assert not OMITTED
    assert OMITTED is not None
    assert OMITTED not in (None, False, 0, "", "omitted")
    assert isinstance(OMITTED, enum.Enum)
    assert list(Omitted) == [OMITTED]


def test_there_is_only_one() -> None:
    """`is` stays true after copying and pickling."""
    assert copy.deepcopy(OMITTED) is copy.copy(OMITTED) is OMITTED
    assert pickle.loads(pickle.dumps(OMITTED)) is OMITTED


@pytest.mark.parametrize("operation", OPERATIONS, ids=[row.name for row in OPERATIONS])
def test_what_is_optional_is_omitted_by_default(operation: object) -> None:
    """Every parameter without which an operation works has this default and no other."""
    for field in attrs.fields(operation.takes):  # type: ignore[attr-defined]
        assert field.default in (attrs.NOTHING, OMITTED)
