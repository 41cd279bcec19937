"""Routes of one's own security settings: password, address, devices, factors, API tokens."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Response

from axisor.features.accounts.auth import ProfileDependency, StrongProfileDependency
from axisor.features.accounts.people_schemas import (
    CodeBody,
    DevicesRead,
    EmailBody,
    EmailConfirmBody,
    EndedRead,
    FactorsRead,
    NameBody,
    NewTokenRead,
    OptionsRead,
    PasskeyBody,
    PasswordBody,
    RecoveryCodesRead,
    TokenBody,
    TokensRead,
    TotpRead,
    Uuid,
    WalletBody,
    WalletRequestRead,
    read_device,
    read_factors,
    read_token,
)
from axisor.features.accounts.schemas import Empty, UserRead, read_user
from axisor.features.accounts.sign_in_endpoints import PeopleDependency
from axisor.infra.wire import answer, instant

router = APIRouter(tags=["security"], prefix="/me")

type KeyId = Annotated[str, Path(max_length=2048)]


@router.put("/password", response_model=Empty, summary="Change the password; other sessions end")
async def change_password(people: PeopleDependency, caller: StrongProfileDependency, body: PasswordBody) -> Response:
    await people.profile.change_password(
        caller.user_id,
        family_id=caller.family_id,
        password=body.password.get_secret_value(),
        new_password=body.new_password.get_secret_value(),
    )
    return answer(Empty())


@router.post("/email", response_model=Empty, status_code=202, summary="Ask to change the address")
async def ask_for_new_email(people: PeopleDependency, caller: StrongProfileDependency, body: EmailBody) -> Response:
    await people.profile.ask_for_new_email(caller.user_id, body.email)
    return answer(Empty(), status_code=202)


@router.post("/email/confirm", response_model=UserRead, summary="Prove the new address")
async def confirm_new_email(people: PeopleDependency, caller: ProfileDependency, body: EmailConfirmBody) -> Response:
    token = None if body.token is None else body.token.get_secret_value()
    user = await people.profile.confirm_new_email(caller.user_id, code=body.code, token=token)
    return answer(read_user(user))


@router.get("/devices", response_model=DevicesRead, summary="Where you are signed in")
async def list_devices(people: PeopleDependency, caller: ProfileDependency) -> Response:
    devices = await people.devices.list_devices(caller.user_id)
    return answer(DevicesRead(devices=tuple(read_device(each, current=caller.family_id) for each in devices)))


@router.delete("/devices/{device_id}", response_model=Empty, summary="Sign a device out")
async def end_device(people: PeopleDependency, caller: ProfileDependency, device_id: Uuid) -> Response:
    await people.devices.end(caller.user_id, device_id)
    return answer(Empty())


@router.post("/devices/end-others", response_model=EndedRead, summary="Sign every other device out")
async def end_other_devices(people: PeopleDependency, caller: ProfileDependency) -> Response:
    return answer(EndedRead(ended=await people.devices.end_others(caller.user_id, caller.family_id)))


@router.get("/factors", response_model=FactorsRead, summary="How you can sign in")
async def list_factors(people: PeopleDependency, caller: ProfileDependency) -> Response:
    return answer(read_factors(await people.devices.ways_in(caller.user_id)))


@router.post("/factors/totp", response_model=TotpRead, summary="Begin to add an authenticator app")
async def begin_totp(people: PeopleDependency, caller: StrongProfileDependency) -> Response:
    made = await people.totp.begin(caller.user_id)
    return answer(TotpRead(secret=made.secret, uri=made.uri))


@router.post("/factors/totp/confirm", response_model=RecoveryCodesRead, summary="Add it by its first code")
async def confirm_totp(people: PeopleDependency, caller: StrongProfileDependency, body: CodeBody) -> Response:
    return answer(RecoveryCodesRead(recovery_codes=await people.totp.confirm(caller.user_id, body.code)))


@router.delete("/factors/totp", response_model=Empty, summary="Remove the authenticator app")
async def remove_totp(people: PeopleDependency, caller: StrongProfileDependency) -> Response:
    await people.totp.remove(caller.user_id)
    return answer(Empty())


@router.post("/factors/recovery-codes", response_model=RecoveryCodesRead, summary="Make new recovery codes")
async def make_recovery_codes(people: PeopleDependency, caller: StrongProfileDependency) -> Response:
    return answer(RecoveryCodesRead(recovery_codes=await people.devices.new_recovery_codes(caller.user_id)))


@router.post("/factors/passkeys/options", response_model=OptionsRead, summary="Begin to add a passkey")
async def begin_passkey(people: PeopleDependency, caller: StrongProfileDependency, body: NameBody) -> Response:
    made = await people.passkeys.begin_registration(caller.user_id, name=body.name)
    return answer(OptionsRead(challenge=made.challenge, options=made.options))


@router.post("/factors/passkeys", response_model=Empty, status_code=201, summary="Add the passkey")
async def add_passkey(people: PeopleDependency, caller: StrongProfileDependency, body: PasskeyBody) -> Response:
    await people.passkeys.register(caller.user_id, challenge=body.challenge, credential=body.credential)
    return answer(Empty(), status_code=201)


@router.delete("/factors/passkeys/{key_id}", response_model=Empty, summary="Remove a passkey")
async def remove_passkey(people: PeopleDependency, caller: StrongProfileDependency, key_id: KeyId) -> Response:
    await people.passkeys.remove(caller.user_id, key_id)
    return answer(Empty())


@router.post("/factors/wallets", response_model=WalletRequestRead, summary="Begin to link a Lightning wallet")
async def begin_wallet(people: PeopleDependency, caller: StrongProfileDependency, body: NameBody) -> Response:
    asked = await people.wallets.begin(user_id=caller.user_id, name=body.name)
    return answer(
        WalletRequestRead(
            challenge=asked.challenge, lnurl=asked.lnurl, url=asked.url, expires_at=instant(asked.expires_at)
        )
    )


@router.post("/factors/wallets/finish", response_model=Empty, status_code=201, summary="Link it once it has signed")
async def finish_wallet(people: PeopleDependency, caller: StrongProfileDependency, body: WalletBody) -> Response:
    await people.wallets.finish_link(caller.user_id, body.challenge)
    return answer(Empty(), status_code=201)


@router.delete("/factors/wallets/{key_id}", response_model=Empty, summary="Unlink a wallet")
async def remove_wallet(people: PeopleDependency, caller: StrongProfileDependency, key_id: KeyId) -> Response:
    await people.wallets.remove(caller.user_id, key_id)
    return answer(Empty())


@router.get("/tokens", response_model=TokensRead, summary="Your API tokens")
async def list_tokens(people: PeopleDependency, caller: ProfileDependency) -> Response:
    return answer(
        TokensRead(tokens=tuple(read_token(each) for each in await people.api_tokens.list_tokens(caller.user_id)))
    )


@router.post("/tokens", response_model=NewTokenRead, status_code=201, summary="Make an API token")
async def create_token(people: PeopleDependency, caller: StrongProfileDependency, body: TokenBody) -> Response:
    made = await people.api_tokens.create(
        caller.user_id, name=body.name, scopes=body.scopes, life=timedelta(days=body.days)
    )
    return answer(NewTokenRead(token=read_token(made.token), secret=made.secret), status_code=201)


@router.delete("/tokens/{token_id}", response_model=Empty, summary="Revoke an API token")
async def revoke_token(people: PeopleDependency, caller: ProfileDependency, token_id: Uuid) -> Response:
    await people.api_tokens.revoke(caller.user_id, token_id)
    return answer(Empty())
