"""Access tokens: which keys sign, which are known, and what is refused."""

import base64
import hmac
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from axisor.domain.errors import NotAuthenticated, SessionExpired
from axisor.domain.units import UserId
from axisor.features.accounts.tokens import ACCESS_LIFE, CLOCK_SKEW, KEY_LIFE, AccessTokens

SECRET = b"s" * 32
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
USER = UserId("01a20000-0000-7000-8000-000000000001")
FAMILY = "01a20000-0000-7000-8000-000000000002"


def issued(tokens: AccessTokens | None = None, *, now: datetime = NOW) -> str:
    return (tokens or AccessTokens(SECRET)).issue(user_id=USER, family_id=FAMILY, now=now)[0]


def coded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decoded(part: str) -> dict[str, Any]:
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def head_of(token: str) -> dict[str, Any]:
    return decoded(token.partition(".")[0])


def claims_of(token: str) -> dict[str, Any]:
    return decoded(token.split(".")[1])


def signing_key(tokens: AccessTokens, *, now: datetime = NOW) -> OKPKey:
    """Return the very key that signs now: to sign with it what the API never would."""
    key_id = head_of(issued(tokens, now=now))["kid"]
    return tokens._known_keys(now)[key_id]


def test_a_token_says_whom_it_speaks_for_until_its_end() -> None:
    claims = AccessTokens(SECRET).read(issued(), now=NOW)
    assert (claims.user_id, claims.family_id, claims.expires_at) == (USER, FAMILY, NOW + ACCESS_LIFE)


def test_replicas_with_one_secret_read_each_others_tokens_and_another_secret_reads_none() -> None:
    assert AccessTokens(SECRET).read(issued(AccessTokens(SECRET)), now=NOW).user_id == USER
    with pytest.raises(NotAuthenticated):
        AccessTokens(b"o" * 32).read(issued(), now=NOW)


def test_a_secret_that_was_replaced_is_still_known_and_signs_no_more() -> None:
    renewed = AccessTokens(b"n" * 32, previous=(SECRET,))
    assert renewed.read(issued(), now=NOW).user_id == USER
    assert AccessTokens(b"n" * 32).read(issued(renewed), now=NOW).user_id == USER


@given(at=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)), age_s=st.integers(0, 599))  # noqa: DTZ001 - hypothesis makes naive ones and the test gives them a zone
def test_a_token_is_good_for_its_ten_minutes_over_every_change_of_keys(at: datetime, age_s: int) -> None:
    now = at.replace(tzinfo=UTC, microsecond=0)
    tokens = AccessTokens(SECRET)
    token = issued(tokens, now=now)
    assert AccessTokens(SECRET).read(token, now=now + timedelta(seconds=age_s)).user_id == USER
    with pytest.raises(SessionExpired):
        tokens.read(token, now=now + ACCESS_LIFE)


def test_the_key_changes_each_week_and_is_published_a_week_before_it_signs_and_a_week_after() -> None:
    tokens = AccessTokens(SECRET)
    weeks = [NOW + KEY_LIFE * number for number in range(4)]
    signing = [head_of(issued(tokens, now=week))["kid"] for week in weeks]
    assert len(set(signing)) == 4
    published = [{key["kid"] for key in tokens.public_keys(now=week)} for week in weeks]
    assert [len(keys) for keys in published] == [3] * 4
    assert set(signing[:3]) == published[1]
    assert signing[0] not in published[2]


def test_what_is_published_verifies_a_token_and_is_the_public_half_alone() -> None:
    keys = AccessTokens(SECRET).public_keys(now=NOW)
    assert all(set(key) == {"kty", "crv", "x", "kid", "use", "alg"} for key in keys)
    token = issued()
    (key,) = [each for each in keys if each["kid"] == head_of(token)["kid"]]
    assert jwt.decode(token, OKPKey.import_key(key), algorithms=["Ed25519"]).claims["sub"] == USER


def test_the_public_key_is_no_secret_of_an_hmac() -> None:
    tokens = AccessTokens(SECRET)
    token = issued(tokens)
    key_id = head_of(token)["kid"]
    (public,) = [key for key in tokens.public_keys(now=NOW) if key["kid"] == key_id]
    raw = base64.urlsafe_b64decode(public["x"] + "=")
    pem = signing_key(tokens).as_pem(private=False)
    for secret in (raw, public["x"].encode(), pem, json.dumps(public).encode()):
        for kid in (key_id, "", "0"):
            head = {"alg": "HS256", "typ": "at+jwt", "kid": kid}
            signed_part = f"{coded(head)}.{coded(claims_of(token))}"
            forged = f"{signed_part}.{coded(hmac.digest(secret, signed_part.encode(), 'sha256'))}"
            with pytest.raises(NotAuthenticated):
                tokens.read(forged, now=NOW)


@pytest.mark.parametrize("kind", ["RS256", "PS256", "ES256", "Ed25519"])
def test_the_id_of_our_key_over_the_signature_of_another_opens_nothing(kind: str) -> None:
    tokens = AccessTokens(SECRET)
    token = issued(tokens)
    match kind:
        case "RS256" | "PS256":
            key: Any = RSAKey.import_key(generate_private_key(65537, 2048))
        case "ES256":
            key = ECKey.generate_key("P-256")
        case _:
            key = OKPKey.generate_key("Ed25519")
    head = {"alg": kind, "typ": "at+jwt", "kid": head_of(token)["kid"]}
    forged = jwt.encode(head, claims_of(token), key, algorithms=[kind])
    with pytest.raises(NotAuthenticated):
        tokens.read(forged, now=NOW)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
def test_a_token_without_a_signature_opens_nothing(algorithm: str) -> None:
    token = issued()
    head = {"alg": algorithm, "typ": "at+jwt", "kid": head_of(token)["kid"]}
    body = token.split(".")[1]
    for forged in (f"{coded(head)}.{body}.", f"{coded(head)}.{body}", f"{coded(head)}.{body}.{token.split('.')[2]}"):
        with pytest.raises(NotAuthenticated):
            AccessTokens(SECRET).read(forged, now=NOW)


@pytest.mark.parametrize(
    "extra",
    [
        {"jku": "https://evil.example/keys.json"},
        {"x5u": "https://evil.example/chain.pem"},
        {"x5c": ["MIIB"]},
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
        {"crit": ["b64"], "b64": False},
        {"cty": "JWT"},
        {"typ": "JWT"},
        {"typ": "id+jwt"},
        {"kid": "../../../../etc/passwd"},
        {"kid": "' or 1=1 --"},
        {"kid": ["a"]},
        {"kid": None},
        {"alg": "EdDSA"},
    ],
    ids=str,
)
def test_a_head_that_is_not_exactly_ours_opens_nothing_even_under_our_signature(extra: dict[str, Any]) -> None:
    tokens = AccessTokens(SECRET)
    token = issued(tokens)
    signed_part = f"{coded(head_of(token) | extra)}.{token.split('.')[1]}"
    signature = signing_key(tokens).raw_value.sign(signed_part.encode())
    with pytest.raises(NotAuthenticated):
        tokens.read(f"{signed_part}.{coded(signature)}", now=NOW)


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "axisor-mail"},
        {"aud": ["another"]},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"sub": "nobody"},
        {"sub": None},
        {"sid": "not an id"},
        {"sid": None},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": 10**30},
        {"iat": None},
        {"iat": int((NOW + CLOCK_SKEW).timestamp()) + 1},
    ],
    ids=str,
)
def test_claims_that_are_not_ours_open_nothing_even_under_our_signature(changed: dict[str, Any]) -> None:
    tokens = AccessTokens(SECRET)
    token = issued(tokens)
    claims = {name: value for name, value in (claims_of(token) | changed).items() if value is not None}
    signed = jwt.encode(head_of(token), claims, signing_key(tokens), algorithms=["Ed25519"])
    with pytest.raises(NotAuthenticated):
        tokens.read(signed, now=NOW)


def test_our_own_signature_over_our_own_claims_is_what_the_tests_above_change() -> None:
    tokens = AccessTokens(SECRET)
    token = issued(tokens)
    signed_part = token.rpartition(".")[0]
    signature = signing_key(tokens).raw_value.sign(signed_part.encode())
    assert tokens.read(f"{signed_part}.{coded(signature)}", now=NOW).user_id == USER
    again = jwt.encode(head_of(token), claims_of(token), signing_key(tokens), algorithms=["Ed25519"])
    assert tokens.read(again, now=NOW).user_id == USER


@given(text=st.text(max_size=200) | st.builds(".".join, st.lists(st.text("abcABC-_=", max_size=40))))
def test_anything_else_is_no_token(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        AccessTokens(SECRET).read(text, now=NOW)


@given(position=st.integers(0, 10_000), change=st.integers(1, 63))
def test_a_token_with_one_letter_changed_speaks_for_nobody_else(position: int, change: int) -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = issued()
    at = position % len(token)
    if token[at] == ".":
        return
    letter = letters[(letters.index(token[at]) + change) % len(letters)]
    try:
        claims = AccessTokens(SECRET).read(token[:at] + letter + token[at + 1 :], now=NOW)
    except NotAuthenticated:
        return
    # The last letter of a part carries bits that mean nothing: what they say is the same.
    assert (claims.user_id, claims.family_id) == (USER, FAMILY)
    assert uuid.UUID(claims.user_id)
