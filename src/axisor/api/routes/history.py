"""What happened, and why: activities and decisions."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from axisor.api.activity import ActivityPage, activity_view
from axisor.api.decisions import DecisionView, read_decision
from axisor.api.routes.parts import AccountIdDependency, ServicesDependency
from axisor.domain.errors import NotFound
from axisor.features.accounts.auth import ViewerDependency
from axisor.features.notifications.repository import find_activity, list_activities
from axisor.infra.wire import answer

router = APIRouter(tags=["history"])


@router.get("/activity", response_model=ActivityPage, summary="What happened, newest first")
async def list_activity(
    services: ServicesDependency,
    caller: ViewerDependency,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[UUID | None, Query(description="`next_cursor` of the page before.")] = None,
) -> Response:
    async with services.database.transaction(user_id=caller.user_id) as connection:
        before = None
        if cursor is not None:
            before = await find_activity(connection, caller.user_id, str(cursor))
            if before is None:
                raise NotFound("activity", str(cursor))
        found = await list_activities(connection, caller.user_id, limit=limit + 1, before=before)
    page = found[:limit]
    return answer(
        ActivityPage(
            items=tuple(activity_view(activity) for activity in page),
            next_cursor=page[-1].activity_id if len(found) > limit else None,
        )
    )


@router.get(
    "/decisions/{exchange_account_id}/{decision_id}", response_model=DecisionView, summary="What exactly happened"
)
async def get_decision(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    decision_id: UUID,
) -> Response:
    async with services.database.transaction(user_id=caller.user_id) as connection:
        decision = await read_decision(connection, exchange_account_id, str(decision_id))
    if decision is None:
        raise NotFound("decision", str(decision_id))
    return answer(decision)
