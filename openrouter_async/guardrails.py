"""`client.guardrails`: restrictions on keys in addition to their own limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from openrouter_async._operations import LIST_KEY_ASSIGNMENTS, OnePage
from openrouter_async._options import OMITTED, CallOptions, Omitted
from openrouter_async.models import ListGuardrailKeyAssignmentsResponse

if TYPE_CHECKING:
    from openrouter_async._caller import Client


class Guardrails:
    """The guardrails of an account; needs a management key."""

    def __init__(self, caller: Client) -> None:
        self._caller = caller

    async def list_key_assignments(
        self,
        *,
        offset: int | str | Omitted | None = OMITTED,
        limit: int | str | Omitted | None = OMITTED,
        **options: Unpack[CallOptions],
    ) -> ListGuardrailKeyAssignmentsResponse:
        """List one page of the guardrail assignments to keys, in all workspaces.

        A workspace's default guardrail and those assigned to members restrict keys too, but are
        not listed here.

        Args:
            offset: How many assignments to skip.
            limit: How many to return, 1 to 100; the service's default is 50.
            **options: See `CallOptions`.

        """
        return await self._caller.call(
            LIST_KEY_ASSIGNMENTS, OnePage(offset=offset, limit=limit), options
        )
