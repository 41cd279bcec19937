"""Routes by which somebody becomes known: registering, a second factor, a passkey, a wallet, a new password."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from axisor.domain.errors import AxisorError, NotAuthenticated
from axisor.features.accounts.auth import DoorkeeperDependency
from axisor.features.accounts.endpoints import SIGN_IN, SessionCookie, VisitDependency, session_answer
from axisor.features.accounts.factors.wallets import CallbackAnswer
from axisor.features.accounts.people import People
from axisor.features.accounts.people_schemas import (
    ConfirmBody,
    FactorBody,
    OptionsRead,
    PasskeyBody,
    ReauthBody,
    RegisterBody,
    RegistrationRead,
    ResetAskBody,
    ResetBody,
    WalletBody,
    WalletRequestRead,
)
from axisor.features.accounts.registration import Applicant
from axisor.features.accounts.schemas import Empty, SessionRead
from axisor.infra.wire import answer, instant

router = APIRouter(tags=["session"])


def people_of(request: Request) -> People:
    people = request.app.state.people
    assert isinstance(people, People)
    return people


PeopleDependency = Annotated[People, Depends(people_of)]


@router.post(
    "/auth/register",
    response_model=RegistrationRead,
    status_code=202,
    dependencies=SIGN_IN,
    summary="Ask for an account",
)
async def register(people: PeopleDependency, body: RegisterBody) -> Response:
    registration_id = await people.registration.apply(
        Applicant(
            email=body.email,
            password=body.password.get_secret_value(),
            display_name=body.display_name,
            locale=body.locale,
            invitation=None if body.invitation is None else body.invitation.get_secret_value(),
        )
    )
    return answer(RegistrationRead(registration_id=registration_id), status_code=202)


@router.post(
    "/auth/register/confirm", response_model=SessionRead, dependencies=SIGN_IN, summary="Prove the address, sign in"
)
async def confirm_registration(
    request: Request, keeper: DoorkeeperDependency, people: PeopleDependency, visit: VisitDependency, body: ConfirmBody
) -> Response:
    user = await people.registration.confirm(
        registration_id=body.registration_id,
        code=body.code,
        token=None if body.token is None else body.token.get_secret_value(),
        password=body.password.get_secret_value(),
    )
    signed_in = await people.accounts.begin(user, method="password", visit=visit)
    return session_answer(request, keeper, signed_in)


@router.post(
    "/auth/reset", response_model=Empty, status_code=202, dependencies=SIGN_IN, summary="Ask for a new password"
)
async def ask_for_reset(people: PeopleDependency, body: ResetAskBody) -> Response:
    await people.profile.ask_for_reset(body.email, locale=body.locale)
    return answer(Empty(), status_code=202)


@router.post("/auth/reset/confirm", response_model=Empty, dependencies=SIGN_IN, summary="Set the new password")
async def confirm_reset(people: PeopleDependency, body: ResetBody) -> Response:
    await people.profile.reset(
        email=body.email,
        code=body.code,
        token=None if body.token is None else body.token.get_secret_value(),
        password=body.password.get_secret_value(),
    )
    return answer(Empty())


@router.post("/auth/factor", response_model=SessionRead, dependencies=SIGN_IN, summary="Prove the second factor")
async def prove_factor(
    request: Request, keeper: DoorkeeperDependency, people: PeopleDependency, visit: VisitDependency, body: FactorBody
) -> Response:
    signed_in = await people.second_factor.finish_sign_in(body.challenge, body.proof(), visit=visit)
    return session_answer(request, keeper, signed_in)


@router.post(
    "/auth/reauthenticate", response_model=SessionRead, dependencies=SIGN_IN, summary="Prove once more who you are"
)
async def reauthenticate(
    *,
    request: Request,
    keeper: DoorkeeperDependency,
    people: PeopleDependency,
    visit: VisitDependency,
    token: SessionCookie,
    body: ReauthBody,
) -> Response:
    if token is None:
        raise NotAuthenticated("there is no session")
    signed_in = await people.second_factor.reauthenticate(
        token,
        password=None if body.password is None else body.password.get_secret_value(),
        proof=body.proof(),
        visit=visit,
    )
    return session_answer(request, keeper, signed_in)


@router.post(
    "/auth/passkey/options", response_model=OptionsRead, dependencies=SIGN_IN, summary="What a passkey is to sign"
)
async def passkey_options(people: PeopleDependency) -> Response:
    made = await people.passkeys.begin_use()
    return answer(OptionsRead(challenge=made.challenge, options=made.options))


@router.post("/auth/passkey", response_model=SessionRead, dependencies=SIGN_IN, summary="Sign in with a passkey")
async def passkey_sign_in(
    request: Request, keeper: DoorkeeperDependency, people: PeopleDependency, visit: VisitDependency, body: PasskeyBody
) -> Response:
    signed_in = await people.second_factor.sign_in_with_passkey(
        challenge=body.challenge, credential=body.credential, visit=visit
    )
    return session_answer(request, keeper, signed_in)


@router.post(
    "/auth/wallet", response_model=WalletRequestRead, dependencies=SIGN_IN, summary="Ask a Lightning wallet to sign"
)
async def ask_wallet(people: PeopleDependency) -> Response:
    asked = await people.wallets.begin()
    return answer(
        WalletRequestRead(
            challenge=asked.challenge, lnurl=asked.lnurl, url=asked.url, expires_at=instant(asked.expires_at)
        )
    )


@router.get("/auth/wallet/callback", response_model=CallbackAnswer, summary="What a wallet calls (LUD-04)")
async def wallet_callback(
    people: PeopleDependency,
    k1: Annotated[str, Query(max_length=64)] = "",
    sig: Annotated[str, Query(max_length=160)] = "",
    key: Annotated[str, Query(max_length=66)] = "",
) -> Response:
    """Answer a wallet as LUD-04 has it: 200 with a status in the body, whatever went wrong."""
    try:
        await people.wallets.take_signature(k1=k1, signature=sig, key=key)
    except AxisorError as error:
        return answer(CallbackAnswer(status="ERROR", reason=error.message))
    return answer(CallbackAnswer(status="OK"))


@router.post(
    "/auth/wallet/finish", response_model=SessionRead, dependencies=[SIGN_IN[0]], summary="Sign in once it has signed"
)
async def finish_wallet_sign_in(
    request: Request, keeper: DoorkeeperDependency, people: PeopleDependency, visit: VisitDependency, body: WalletBody
) -> Response:
    owner = await people.wallets.finish_sign_in(body.challenge)
    user = await people.accounts.get_user(owner)
    signed_in = await people.accounts.pass_first_factor(user, method="wallet", visit=visit)
    return session_answer(request, keeper, signed_in)
