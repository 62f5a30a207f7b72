"""`client.workspaces`: every key belongs to one, and each has its own list of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack
from uuid import UUID

from openrouter_async._caller import Throttle
from openrouter_async._operations import GET_WORKSPACE, LIST_WORKSPACES, OnePage, WorkspaceRef
from openrouter_async._options import OMITTED, CallOptions, Omitted
from openrouter_async.models import GetWorkspaceResponse, ListWorkspacesResponse
from openrouter_async.paging import WorkspaceWalk

if TYPE_CHECKING:
    from openrouter_async._caller import Client


class Workspaces:
    """The workspaces of an account."""

    def __init__(self, caller: Client) -> None:
        self._caller = caller

    async def list(
        self,
        *,
        offset: int | str | Omitted | None = OMITTED,
        limit: int | str | Omitted | None = OMITTED,
        **options: Unpack[CallOptions],
    ) -> ListWorkspacesResponse:
        """List one page of workspaces.

        Args:
            offset: How many workspaces to skip.
            limit: How many to return, 1 to 100; the service's default is 50.
            **options: See `CallOptions`.

        """
        return await self._caller.call(
            LIST_WORKSPACES, OnePage(offset=offset, limit=limit), options
        )

    async def get(self, id: str | UUID, **options: Unpack[CallOptions]) -> GetWorkspaceResponse:
        """Get one workspace by its id or slug.

        Raises `NotFoundResponseError` where there is none. Rules:
        https://openrouter.ai/docs/api/api-reference/workspaces/get-workspace

        Args:
            id: The workspace's id or slug; its name will not do.
            **options: See `CallOptions`.

        """
        return await self._caller.call(GET_WORKSPACE, WorkspaceRef(id=id), options)

    def iter(self, **options: Unpack[CallOptions]) -> WorkspaceWalk:
        """Walk over all workspaces, page by page.

        Raises `PagingError` if a page brings nothing new. Options apply to each page.
        """
        return WorkspaceWalk(Throttle(self._caller, concurrency=1), options)
