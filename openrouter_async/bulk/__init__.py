"""Operations on many keys: bounded concurrency, one outcome for each key, nothing done twice.

The methods are on `client.api_keys`: `get_many`, `create_many`, `update_many`, `disable_many`,
`delete_many`. This package has the types that they return.
"""

from openrouter_async.bulk._bulk_run import BulkRun
from openrouter_async.bulk._get_many import KeyOutcome, KeyProgress, KeyState
from openrouter_async.bulk._outcomes import Action, ChangeProgress, Outcome, Status
from openrouter_async.bulk._widening import widened_by

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
