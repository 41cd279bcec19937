"""Routes of a person's data as a whole: a copy of all of it, and the end of it."""

import msgspec
from fastapi import APIRouter, Request, Response

from axisor.api.personal_data import read_personal_data
from axisor.api.services import Services
from axisor.domain.errors import Conflict
from axisor.features.accounts.auth import StrongProfileDependency
from axisor.features.accounts.schemas import Empty
from axisor.features.accounts.sign_in_endpoints import PeopleDependency
from axisor.features.credentials.repository import list_accounts
from axisor.infra.wire import answer

router = APIRouter(tags=["security"], prefix="/me")


class ProtectionIsLive(Conflict):
    """Deleting would leave positions at the exchange without their guard."""

    code = "protection_is_live"


@router.get(
    "/data",
    summary="A copy of your data",
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def export_data(request: Request, caller: StrongProfileDependency) -> Response:
    services: Services = request.app.state.services
    data = await read_personal_data(services.database, caller.user_id)
    return Response(
        msgspec.json.encode(data),
        media_type="application/json",
        headers={"cache-control": "no-store", "content-disposition": 'attachment; filename="axisor-data.json"'},
    )


@router.delete("", response_model=Empty, summary="Delete your account and its data")
async def delete_me(request: Request, people: PeopleDependency, caller: StrongProfileDependency) -> Response:
    services: Services = request.app.state.services
    async with services.database.transaction(user_id=caller.user_id) as connection:
        if any(account.is_armed and account.archived_at is None for account in await list_accounts(connection)):
            raise ProtectionIsLive("switch live protection off first: your positions would lose their guard")
    await people.profile.delete(caller.user_id)
    return answer(Empty())
