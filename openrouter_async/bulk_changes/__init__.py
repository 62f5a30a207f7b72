"""One change of many keys: bounded concurrency, one outcome for each, and nothing done twice.

The methods are on `client.api_keys`: `create_many`, `update_many`, `disable_many`, `delete_many`.
"""

from openrouter_async.bulk_changes._outcomes import Action, ChangeProgress, Outcome, Status
from openrouter_async.bulk_changes._run import BulkRun
from openrouter_async.bulk_changes._widening import widened_by

__all__ = ["Action", "BulkRun", "ChangeProgress", "Outcome", "Status", "widened_by"]
