"""What a preset would have done on recorded nights."""

from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from fastapi import APIRouter, Query, Response

from axisor.features.accounts.auth import MarketDependency
from axisor.features.lab.nights import NightsCard, PresetName, nights_card
from axisor.infra.wire import answer

router = APIRouter(tags=["guard"])

Leverage = Annotated[Decimal, Query(ge=1, le=100, max_digits=12, decimal_places=8)]
Margins = Annotated[Decimal | None, Query(ge=0, le=100, max_digits=12, decimal_places=6)]
RoomShare = Annotated[Decimal | None, Query(ge=0, le=1, max_digits=8, decimal_places=6)]


@router.get(
    "/guard/nights",
    response_model=NightsCard | None,
    summary="A hundred recorded nights with a preset; null where nothing near it was simulated",
)
async def nights(
    caller: MarketDependency,
    preset: PresetName,
    leverage: Leverage,
    limit_margins: Margins = None,
    top_up_share: RoomShare = None,
) -> Response:
    del caller  # any person who is signed in
    return answer(
        nights_card(
            preset=preset,
            leverage=Fraction(leverage),
            limit_margins=None if limit_margins is None else Fraction(limit_margins),
            top_up_share=None if top_up_share is None else Fraction(top_up_share),
        )
    )
