"""The bundled filter: what everybody tries first is refused, what nobody tries is not."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from axisor.features.accounts.common_passwords import FILE, PREFIX_BYTES, is_common

LISTED: tuple[str, ...] = tuple(FREQUENCY_LISTS["passwords"])
ROOT = Path(__file__).resolve().parents[4]


def test_every_password_of_the_list_is_refused() -> None:
    assert len(LISTED) >= 30_000
    assert [word for word in LISTED if not is_common(word)] == []


@given(word=st.sampled_from(LISTED), times=st.integers(2, 4))
def test_a_listed_password_in_capitals_or_repeated_is_refused(word: str, times: int) -> None:
    assert is_common(word.upper())
    assert is_common(word.title())
    assert is_common(word * times)


@given(
    word=st.sampled_from([word for word in LISTED if word.isalpha() and word.isascii()]), digits=st.integers(0, 9999)
)
def test_a_listed_word_with_digits_or_signs_at_its_ends_is_refused(word: str, digits: int) -> None:
    for password in (f"{word}{digits}", f"{digits}{word}", f"{word}{digits}!", f"!!{word}{digits}"):
        assert is_common(password), password


@pytest.mark.parametrize(
    "password", ["P@ssw0rd2026", "passwordpassword", "qwertyuiopas", "aaaaaaaaaaaa", "123456789012"]
)
def test_what_people_do_to_get_past_such_a_list_does_not_help(password: str) -> None:
    assert is_common(password)


@pytest.mark.parametrize("password", ["ada.lovelace@example.com", "Lovelace1815!", "example123456"])
def test_ones_own_address_and_name_are_refused(password: str) -> None:
    assert is_common(password, own_words=("ada.lovelace@example.com", "Ada Lovelace"))
    assert not is_common("vorple under the xkqz tree", own_words=("ada.lovelace@example.com", "Ada Lovelace"))


def test_of_a_hundred_thousand_random_passwords_none_is_taken_for_a_common_one() -> None:
    # One in 37 million is expected for each spelling: a hundred thousand of them hit once in some hundred runs.
    source = random.Random(20_261_124)
    letters = "abcdefghijkmnpqrstuvwxyzACDEFGHJKLMNPQRTUVWXYZ2346789"
    assert not [word for word in ("".join(source.choices(letters, k=14)) for _ in range(100_000)) if is_common(word)]


def test_the_filter_is_what_its_tool_makes_of_the_list(tmp_path: Path) -> None:
    before = FILE.read_bytes()
    prefixes = [before[at : at + PREFIX_BYTES] for at in range(0, len(before), PREFIX_BYTES)]
    assert prefixes == sorted(set(prefixes))
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import sys, pathlib\nimport tools.common_passwords as tool\n"
                "tool.FILE = pathlib.Path(sys.argv[1])\ntool.main()"
            ),
            str(tmp_path / "made.bin"),
        ],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "made.bin").read_bytes() == before
