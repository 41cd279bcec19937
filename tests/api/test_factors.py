"""Second factors, passkeys, wallets, and the fresh proof that dangerous changes ask for."""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text
from tests.factories.passkeys import SoftPasskey
from tests.fixtures.api import PASSWORD, ApiHarness, running_api
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.letters import Letters

from axisor.features.accounts.repository import User
from axisor.infra.lightning.bech32 import bytes_of, decode

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORIGIN = "http://axisor.test"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_api(
    database_urls: DatabaseUrls, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ApiHarness]:
    async with running_api(database_urls, valkey_url, tmp_path_factory.mktemp("api"), has_mail=True) as harness:
        yield harness


@pytest_asyncio.fixture(loop_scope="module")
async def api(module_api: ApiHarness) -> ApiHarness:
    module_api.clock.ahead = timedelta(0)
    async for key in module_api.valkey.scan_iter("*rate*"):
        await module_api.valkey.delete(key)
    return module_api


@dataclass
class Person:
    """Somebody at a browser that keeps cookies."""

    api: ApiHarness
    user: User
    browser: httpx.AsyncClient
    access: str = ""

    async def login(self) -> httpx.Response:
        return self._keep(
            await self.browser.post("/api/v1/auth/login", json={"email": self.user.email, "password": PASSWORD})
        )

    async def say(self, path: str, body: Any = None, *, method: str = "POST") -> httpx.Response:
        """Send something as the signed-in person."""
        headers = {"authorization": f"Bearer {self.access}"}
        content = None if method in {"GET", "DELETE"} else {} if body is None else body
        return await self.browser.request(method, f"/api/v1{path}", json=content, headers=headers)

    async def auth(self, path: str, body: Any = None) -> httpx.Response:
        return self._keep(await self.browser.post(f"/api/v1/auth/{path}", json={} if body is None else body))

    def _keep(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code == 200 and "access_token" in answer.text:
            self.access = answer.json()["access_token"]
        return answer


async def a_person(api: ApiHarness) -> Person:
    person = Person(api, await api.a_user(), api.a_browser())
    assert (await person.login()).status_code == 200
    return person


async def with_totp(api: ApiHarness) -> tuple[Person, pyotp.TOTP, list[str]]:
    person = await a_person(api)
    made = (await person.say("/me/factors/totp")).json()
    app = pyotp.TOTP(made["secret"])
    done = await person.say("/me/factors/totp/confirm", {"code": app.at(api.clock.now())})
    assert done.status_code == 200, done.text
    api.clock.ahead += timedelta(seconds=30)
    return person, app, done.json()["recovery_codes"]


async def test_with_an_authenticator_the_password_alone_opens_nothing(api: ApiHarness) -> None:
    person, app, _ = await with_totp(api)
    half = await person.login()
    assert (half.status_code, half.json()["code"]) == (401, "factor_required")
    assert half.json()["context"]["methods"] == ["totp", "recovery_code"]
    assert "set-cookie" not in half.headers
    challenge = half.json()["context"]["challenge"]
    whole = await person.auth("factor", {"challenge": challenge, "code": app.at(api.clock.now())})
    assert whole.status_code == 200, whole.text
    assert (await person.say("/me", method="GET")).status_code == 200
    again = await person.auth("factor", {"challenge": challenge, "code": app.at(api.clock.now())})
    assert (again.status_code, again.json()["code"]) == (422, "wrong_code")


async def test_a_code_is_used_once_and_lives_for_its_thirty_seconds_alone(api: ApiHarness) -> None:
    person, app, _ = await with_totp(api)

    async def try_code(code: str) -> int:
        challenge = (await person.login()).json()["context"]["challenge"]
        return (await person.auth("factor", {"challenge": challenge, "code": code})).status_code

    now = api.clock.now()
    assert await try_code(app.at(now - timedelta(seconds=31))) == 422
    assert await try_code(app.at(now + timedelta(seconds=31))) == 422
    code = app.at(api.clock.now())
    assert await try_code(code) == 200
    assert await try_code(code) == 422


async def test_of_five_uses_of_one_code_at_once_one_succeeds(api: ApiHarness) -> None:
    person, app, _ = await with_totp(api)
    challenges = [(await person.login()).json()["context"]["challenge"] for _ in range(5)]
    code = app.at(api.clock.now())

    async def use(challenge: str) -> int:
        return (await person.auth("factor", {"challenge": challenge, "code": code})).status_code

    async with asyncio.TaskGroup() as tasks:
        uses = [tasks.create_task(use(challenge)) for challenge in challenges]
    assert sorted(task.result() for task in uses) == [200, 422, 422, 422, 422]


async def test_ten_wrong_codes_lock_the_second_factor_for_whoever_has_the_password(api: ApiHarness) -> None:
    person, app, _ = await with_totp(api)
    challenge = (await person.login()).json()["context"]["challenge"]
    wrong = "000000" if app.at(api.clock.now()) != "000000" else "111111"
    statuses = [(await person.auth("factor", {"challenge": challenge, "code": wrong})).status_code for _ in range(11)]
    assert statuses == [422] * 10 + [429]
    locked = await person.auth("factor", {"challenge": challenge, "code": app.at(api.clock.now())})
    assert locked.json()["code"] == "challenge_locked"
    # The session that was there before goes on.
    assert (await person.say("/me", method="GET")).status_code == 200


async def test_a_recovery_code_stands_in_once_and_only_its_hash_is_stored(api: ApiHarness) -> None:
    person, _, codes = await with_totp(api)
    assert len(codes) == len(set(codes)) == 10
    for expected in (200, 422):
        challenge = (await person.login()).json()["context"]["challenge"]
        answer = await person.auth("factor", {"challenge": challenge, "recovery_code": codes[0].upper()})
        assert answer.status_code == expected
    async with api.worker.transaction() as connection:
        stored = await connection.execute(
            text("select code_hash::text from recovery_code where user_id = :user"), {"user": person.user.user_id}
        )
        joined = "".join(stored.scalars())
    assert not any(code.replace("-", "").encode().hex() in joined for code in codes)
    assert person.user.email is not None
    assert "recovery code" in (await Letters(api.worker).last_to(person.user.email)).subject


async def test_the_secret_of_an_authenticator_is_sealed_and_opens_for_its_owner_alone(api: ApiHarness) -> None:
    person, app, _ = await with_totp(api)
    other, _, _ = await with_totp(api)
    async with api.worker.transaction() as connection:
        sealed = await connection.scalar(
            text("select sealed from totp_factor where user_id = :user"), {"user": person.user.user_id}
        )
        assert app.byte_secret() not in bytes(sealed)
        await connection.execute(
            text("update totp_factor set sealed = :sealed where user_id = :user"),
            {"sealed": sealed, "user": other.user.user_id},
        )
    challenge = (await other.login()).json()["context"]["challenge"]
    moved = await other.auth("factor", {"challenge": challenge, "code": app.at(api.clock.now())})
    assert moved.status_code == 500


async def test_a_new_password_by_mail_does_not_spare_the_second_factor(api: ApiHarness) -> None:
    person, _, _ = await with_totp(api)
    assert person.user.email is not None
    await person.auth("reset", {"email": person.user.email})
    mail = await Letters(api.worker).last_to(person.user.email)
    found = re.search(r"#token=(\S+)", mail.body)
    assert found is not None
    done = await person.auth("reset/confirm", {"token": found[1], "password": PASSWORD})
    assert done.status_code == 200
    assert (await person.login()).json()["code"] == "factor_required"


async def test_dangerous_changes_ask_for_a_proof_of_the_last_ten_minutes(api: ApiHarness) -> None:
    person = await a_person(api)
    api.clock.ahead += timedelta(minutes=11)
    before = person.browser.cookies["axisor_session"]
    assert (await person.auth("refresh")).status_code == 200
    stale = await person.say("/me/factors/totp")
    assert (stale.status_code, stale.json()["code"]) == (403, "reauth_required")
    assert stale.json()["context"]["methods"] == ["password"]
    wrong = await person.auth("reauthenticate", {"password": "not this one"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "wrong_credentials")
    assert (await person.auth("reauthenticate", {"password": PASSWORD})).status_code == 200
    assert person.browser.cookies["axisor_session"] != before
    assert (await person.say("/me/factors/totp")).status_code == 200


async def test_whoever_has_a_second_factor_proves_that_before_dangerous_changes(api: ApiHarness) -> None:
    person, app, _ = await with_totp(api)
    api.clock.ahead += timedelta(minutes=11)
    await person.auth("refresh")
    stale = await person.say("/me/factors/totp", method="DELETE")
    assert (stale.status_code, stale.json()["code"]) == (403, "reauth_required")
    assert (await person.auth("reauthenticate", {"password": PASSWORD})).status_code == 422
    assert (await person.auth("reauthenticate", {"code": app.at(api.clock.now())})).status_code == 200
    assert (await person.say("/me/factors/totp", method="DELETE")).status_code == 200
    assert (await person.login()).status_code == 200
    assert person.user.email is not None
    subjects = [mail.subject for mail in await Letters(api.worker).to(person.user.email)]
    assert subjects == ["Axisor: A way to sign in was added", "Axisor: A way to sign in was removed"]


async def a_passkey(person: Person, **traits: Any) -> SoftPasskey:
    made = (await person.say("/me/factors/passkeys/options", {"name": "phone"})).json()
    passkey = SoftPasskey(origin=ORIGIN, site="axisor.test", **traits)
    body = {"challenge": made["challenge"], "credential": passkey.create(made["options"])}
    answer = await person.say("/me/factors/passkeys", body)
    assert answer.status_code == 201, answer.text
    return passkey


async def signed(person: Person, passkey: SoftPasskey) -> dict[str, Any]:
    asked = (await person.auth("passkey/options")).json()
    return {"challenge": asked["challenge"], "credential": passkey.get(asked["options"])}


async def test_a_passkey_signs_in_alone_once_per_challenge(api: ApiHarness) -> None:
    person = await a_person(api)
    passkey = await a_passkey(person)
    fresh = Person(api, person.user, api.a_browser())
    said = await signed(fresh, passkey)
    answer = await fresh.auth("passkey", said)
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"]["user_id"] == person.user.user_id
    assert (await fresh.auth("passkey", said)).status_code == 422


async def test_a_passkey_that_did_not_verify_its_user_is_a_second_factor_alone(api: ApiHarness) -> None:
    person = await a_person(api)
    passkey = await a_passkey(person, is_verifying=False)
    assert (await person.auth("passkey", await signed(person, passkey))).json()["code"] == "wrong_code"
    half = await person.login()
    assert half.json()["context"]["methods"] == ["passkey"]
    said = await signed(person, passkey)
    body = {
        "challenge": half.json()["context"]["challenge"],
        "passkey_challenge": said["challenge"],
        "passkey": said["credential"],
    }
    assert (await person.auth("factor", body)).status_code == 200


@pytest.mark.parametrize("flaw", ["site", "copy", "other", "garbage"])
async def test_a_passkey_of_another_site_a_copy_and_another_persons_open_nothing(api: ApiHarness, flaw: str) -> None:
    person = await a_person(api)
    passkey = await a_passkey(person)
    assert (await person.auth("passkey", await signed(person, passkey))).status_code == 200
    if flaw == "site":
        passkey.origin = "https://axisor.test.evil.example"
    elif flaw == "copy":
        passkey.count = 0  # a clone that counts from where it was made
    elif flaw == "other":
        passkey.user_handle = os.urandom(16)
    said = await signed(person, passkey)
    if flaw == "garbage":
        said["credential"] = {"id": "x", "response": {"userHandle": 5}}
    answer = await person.auth("passkey", said)
    assert (answer.status_code, answer.json()["code"]) == (422, "wrong_code")


@dataclass
class SoftWallet:
    """A Lightning wallet that knows LUD-04."""

    key: ec.EllipticCurvePrivateKey

    def call(self, lnurl: str) -> tuple[str, dict[str, str]]:
        url = bytes_of(decode(lnurl, max_length=1000).groups).decode()
        k1 = parse_qs(urlsplit(url).query)["k1"][0]
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        signature = self.key.sign(bytes.fromhex(k1), ec.ECDSA(Prehashed(SHA256())))
        return urlsplit(url).path, {"tag": "login", "k1": k1, "sig": signature.hex(), "key": point.hex()}


async def a_wallet(api: ApiHarness, person: Person) -> SoftWallet:
    wallet = SoftWallet(ec.generate_private_key(ec.SECP256K1()))
    asked = (await person.say("/me/factors/wallets", {"name": "Phoenix"})).json()
    path, said = wallet.call(asked["lnurl"])
    assert (await api.a_browser().get(path, params=said)).json()["status"] == "OK"
    linked = await person.say("/me/factors/wallets/finish", {"challenge": asked["challenge"]})
    assert linked.status_code == 201, linked.text
    return wallet


async def test_a_linked_wallet_signs_in(api: ApiHarness) -> None:
    person = await a_person(api)
    wallet = await a_wallet(api, person)
    fresh = Person(api, person.user, api.a_browser())
    asked = (await fresh.auth("wallet")).json()
    waiting = await fresh.auth("wallet/finish", {"challenge": asked["challenge"]})
    assert waiting.json()["code"] == "wallet_pending"
    path, said = wallet.call(asked["lnurl"])
    for _ in range(2):  # wallets call again after a lost answer
        assert (await api.a_browser().get(path, params=said)).json()["status"] == "OK"
    done = await fresh.auth("wallet/finish", {"challenge": asked["challenge"]})
    assert (done.status_code, done.json()["user"]["user_id"]) == (200, person.user.user_id)
    assert (await fresh.auth("wallet/finish", {"challenge": asked["challenge"]})).json()["code"] == "wrong_code"


async def test_a_wallet_does_not_spare_the_second_factor(api: ApiHarness) -> None:
    person, _, _ = await with_totp(api)
    wallet = await a_wallet(api, person)
    asked = (await person.auth("wallet")).json()
    path, said = wallet.call(asked["lnurl"])
    await api.a_browser().get(path, params=said)
    half = await person.auth("wallet/finish", {"challenge": asked["challenge"]})
    assert half.json()["code"] == "factor_required"


@pytest.mark.parametrize("flaw", ["signature", "k1", "key", "text", "stranger"])
async def test_what_no_linked_wallet_signed_opens_nothing(api: ApiHarness, flaw: str) -> None:
    person = Person(api, await api.a_user(), api.a_browser())
    asked = (await person.auth("wallet")).json()
    wallet = SoftWallet(ec.generate_private_key(ec.SECP256K1()))
    path, said = wallet.call(asked["lnurl"])
    match flaw:
        case "signature":
            digest = hashlib.sha256(b"something else").digest()
            said["sig"] = wallet.key.sign(digest, ec.ECDSA(Prehashed(SHA256()))).hex()
        case "k1":
            said["k1"] = os.urandom(32).hex()
        case "key":
            said["key"] = "02" + "ff" * 32
        case "text":
            said["sig"] = "not hexadecimal"
    answer = (await api.a_browser().get(path, params=said)).json()
    assert answer["status"] == ("OK" if flaw == "stranger" else "ERROR")
    done = await person.auth("wallet/finish", {"challenge": asked["challenge"]})
    assert (done.status_code, done.json()["code"]) == (
        (422, "wrong_code") if flaw == "stranger" else (409, "wallet_pending")
    )


async def test_the_ways_to_sign_in_are_listed_and_removed_one_by_one(api: ApiHarness) -> None:
    person, _, _ = await with_totp(api)
    await a_passkey(person)
    await a_wallet(api, person)
    listed = (await person.say("/me/factors", method="GET")).json()
    assert listed["has_totp"]
    assert listed["recovery_codes_left"] == 10
    other = await a_person(api)
    passkey_id, wallet_id = listed["passkeys"][0]["key_id"], listed["wallets"][0]["key_id"]
    for kind, key_id in (("passkeys", passkey_id), ("wallets", wallet_id)):
        assert (await other.say(f"/me/factors/{kind}/{key_id}", method="DELETE")).status_code == 404
        assert (await person.say(f"/me/factors/{kind}/{key_id}", method="DELETE")).status_code == 200
    left = (await person.say("/me/factors", method="GET")).json()
    assert (left["passkeys"], left["wallets"], left["has_totp"]) == ([], [], True)
