"""Operations on many keys: bounded concurrency, one outcome for each key, nothing done twice.

The methods are on `client.api_keys`: `get_many`, `create_many`, `update_many`, `disable_many`,
`delete_many`. This package has the types that they return.
"""

import typing

if typing.TYPE_CHECKING:
    from openrouter_async.bulk._bulk_run import BulkRun
    from openrouter_async.bulk._get_many import KeyOutcome, KeyProgress, KeyState
    from openrouter_async.bulk._outcomes import Action, ChangeProgress, Outcome, Status
    from openrouter_async.bulk._widening import widened_by
else:  # type checkers would accept any name
    from openrouter_async._lazy import lazily as _lazily

    __getattr__, __dir__ = _lazily(__name__, "_outcomes", "_get_many", "_widening", "_bulk_run")

__all__ = [
    "Action",
    "BulkRun",
    "ChangeProgress",
    "KeyOutcome",
    "KeyProgress",
    "KeyState",
    "Outcome",
    "Status",
    "widened_by",
]
