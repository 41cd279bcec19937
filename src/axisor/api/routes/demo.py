"""The demonstration: what it is at, and the controls of its story."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from axisor.api.routes.parts import ServicesDependency
from axisor.domain.errors import NotFound
from axisor.features.accounts.auth import TraderDependency, ViewerDependency
from axisor.features.demo.service import DemoService, DemoState
from axisor.infra.wire import Body, Instant, answer

router = APIRouter(prefix="/demo", tags=["demo"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioView:
    name: str
    story: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlugView:
    is_pulled: bool
    since: Instant | None
    seconds_left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoView:
    """A run of the demonstration; `market_s` counts from the story's beginning."""

    run_no: int
    scenario: str
    scenarios: tuple[ScenarioView, ...]
    seed: int
    speed: float
    status: str
    market_s: float
    guarded_account_id: str | None
    unguarded_account_id: str | None
    story_started_at: Instant | None
    plug: PlugView


class PlayBody(Body):
    scenario: str | None = Field(default=None, max_length=64)
    seed: int | None = Field(default=None, ge=0, lt=2**53)


class SpeedBody(Body):
    speed: float = Field(gt=0, le=1000, allow_inf_nan=False)


class PlugBody(Body):
    seconds: int = Field(default=20, ge=5, le=120)


class NoBody(Body):
    """Nothing to say."""


def _demo(services: ServicesDependency) -> DemoService:
    if services.demo is None:
        raise NotFound("demo", "in this instance")
    return services.demo


DemoDependency = Annotated[DemoService, Depends(_demo)]


@router.get("", response_model=DemoView, summary="What the demonstration is at")
async def get_demo(caller: ViewerDependency, demo: DemoDependency) -> Response:
    del caller
    return _answer(await demo.state())


@router.post("/play-again", response_model=DemoView, summary="Live through a story from its beginning")
async def play_again(caller: TraderDependency, demo: DemoDependency, body: PlayBody) -> Response:
    del caller
    return _answer(await demo.play_again(scenario=body.scenario, seed=body.seed))


@router.post("/speed", response_model=DemoView, summary="Market seconds in a second")
async def set_speed(caller: TraderDependency, demo: DemoDependency, body: SpeedBody) -> Response:
    del caller
    return _answer(await demo.set_speed(body.speed))


@router.post("/pause", response_model=DemoView, summary="Stop the market where it is")
async def pause(caller: TraderDependency, demo: DemoDependency, body: NoBody) -> Response:
    del caller, body
    return _answer(await demo.pause())


@router.post("/resume", response_model=DemoView, summary="Let the market go on")
async def resume(caller: TraderDependency, demo: DemoDependency, body: NoBody) -> Response:
    del caller, body
    return _answer(await demo.resume())


@router.post("/pull-the-plug", response_model=DemoView, summary="Kill the guard, and let the market fall meanwhile")
async def pull_the_plug(caller: TraderDependency, demo: DemoDependency, body: PlugBody) -> Response:
    del caller
    return _answer(await demo.pull_the_plug(body.seconds))


def _answer(state: DemoState) -> Response:
    return answer(state.wire())
