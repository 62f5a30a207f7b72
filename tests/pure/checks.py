"""What every error of ours has to be fit for."""

import copy
import json
import pickle

from openrouter_async import OpenRouterError


def assert_sound(error: OpenRouterError) -> None:
    """Fail unless the error of an answer is short and can be printed, pickled and copied."""
    assert error.__cause__ is error.__context__ is None
    assert error.message.strip()
    assert len(error.message) <= 300
    assert error.body is not None
    assert len(error.body) <= 2048
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert vars(again).keys() == vars(error).keys()
    json.dumps(vars(error), default=str).encode()
    "".join([str(error), repr(error), error.body, *(error.headers or {}).values()]).encode()
