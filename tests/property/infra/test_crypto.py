import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor.domain.errors import ConfigurationError
from axisor.infra.crypto import Key, KeyRing, SecretUnreadable, key_id_of

KEYS = st.binary(min_size=32, max_size=32).map(Key)
PLACES = st.text(max_size=40)


@given(KEYS, st.binary(max_size=300), PLACES)
def test_what_was_sealed_opens_in_its_place(key: Key, secret: bytes, place: str) -> None:
    blob = key.seal(secret, place=place)
    assert key.open(blob, place=place) == secret
    assert key_id_of(blob) == key.key_id


@given(KEYS, st.binary(min_size=1, max_size=60), PLACES, st.data())
def test_no_flipped_bit_goes_unnoticed(key: Key, secret: bytes, place: str, data: st.DataObject) -> None:
    blob = bytearray(key.seal(secret, place=place))
    bit = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(SecretUnreadable):
        key.open(bytes(blob), place=place)


@given(KEYS, st.binary(max_size=60), PLACES, PLACES)
def test_a_secret_opens_in_no_other_place(key: Key, secret: bytes, place: str, other: str) -> None:
    if place == other:
        return
    with pytest.raises(SecretUnreadable):
        key.open(key.seal(secret, place=place), place=other)


@given(KEYS, KEYS, st.binary(max_size=60))
def test_no_other_key_opens_a_secret(key: Key, other: Key, secret: bytes) -> None:
    if key == other:
        return
    with pytest.raises(SecretUnreadable):
        other.open(key.seal(secret, place="a"), place="a")


@given(KEYS, st.binary(max_size=60), st.integers(1, 60))
def test_a_cut_secret_does_not_open(key: Key, secret: bytes, cut: int) -> None:
    with pytest.raises(SecretUnreadable):
        key.open(key.seal(secret, place="a")[:-cut], place="a")


@given(KEYS, st.binary(min_size=8, max_size=60))
def test_equal_secrets_look_different_and_show_nothing(key: Key, secret: bytes) -> None:
    first, second = key.seal(secret, place="a"), key.seal(secret, place="a")
    assert first != second
    assert secret not in first


def test_a_key_has_32_bytes_and_never_shows_them() -> None:
    with pytest.raises(ConfigurationError):
        Key(b"short")
    key = Key(b"k" * 32)
    assert "kkkk" not in repr(key) + repr(KeyRing(key))
    assert KeyRing(Key.generate(), (key,)).find(key.key_id) == key
    assert KeyRing(key).find("0" * 16) is None
