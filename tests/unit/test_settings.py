"""Configuration: read once, typed, every mistake named."""

import base64
from pathlib import Path

import pytest
from pydantic import ValidationError

from axisor.domain.errors import ConfigurationError
from axisor.settings import default_data_root, load, reference

ROOT = Path(__file__).resolve().parents[2]
HOME = {"HOME": "/home/ada"}
KEY = base64.b64encode(bytes(32)).decode()


def test_defaults_are_complete_and_safe() -> None:
    settings = load(HOME)
    assert settings.api.host == "127.0.0.1"
    assert settings.api.url == "http://127.0.0.1:8000"
    assert settings.guard.quiet_period_s == 40.0
    assert not settings.demo.enabled
    assert settings.paths.data_dir == Path("/home/ada/.local/share/axisor/live")


def test_values_are_typed() -> None:
    settings = load({**HOME, "AXISOR_API_PORT": "9000", "AXISOR_SECOND_SEND": "false", "AXISOR_MASTER_KEY": KEY})
    assert settings.api.port == 9000
    assert settings.guard.second_send is False
    assert settings.keys.master_key == bytes(32)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("AXISOR_API_PROT", "1", "AXISOR_API_PROT is not a variable of Axisor .did you mean AXISOR_API_PORT"),
        ("AXISOR_API_PORT", "http", "AXISOR_API_PORT is not valid"),
        ("AXISOR_API_PORT", "70000", "AXISOR_API_PORT is not valid"),
        ("AXISOR_LOG_LEVEL", "loud", "AXISOR_LOG_LEVEL is not valid"),
        ("AXISOR_DEMO", "perhaps", "AXISOR_DEMO is not valid"),
        ("AXISOR_QUIET_PERIOD_S", "39.9", "AXISOR_QUIET_PERIOD_S is 39.9: it must be at least 40"),
        ("AXISOR_MASTER_KEY", "short", "AXISOR_MASTER_KEY is not base64"),
        ("AXISOR_MASTER_KEY", "AAAA", "AXISOR_MASTER_KEY must be exactly 32 bytes"),
        ("AXISOR_JWT_KEY", "AAAA", "AXISOR_JWT_KEY must be at least 32 bytes"),
        ("AXISOR_MASTER_KEY_FILE", "/nowhere", "AXISOR_MASTER_KEY_FILE names /nowhere, which cannot be read"),
        ("AXISOR_API_PORT_FILE", "/etc/hostname", "AXISOR_API_PORT_FILE is not a variable"),
    ],
)
def test_a_mistake_refuses_the_start_and_names_the_variable(variable: str, value: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        load({**HOME, variable: value})
    assert caught.value.context["variable"] == variable


def test_a_malformed_secret_is_not_repeated_in_the_message() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({**HOME, "AXISOR_MASTER_KEY": "correct-horse-battery"})
    assert "horse" not in repr(caught.value) + repr(caught.value.context)


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", encoding="ascii")
    assert load({**HOME, "AXISOR_MASTER_KEY_FILE": str(file)}).keys.master_key == bytes(32)
    with pytest.raises(ConfigurationError, match="both set"):
        load({**HOME, "AXISOR_MASTER_KEY_FILE": str(file), "AXISOR_MASTER_KEY": KEY})


def test_no_secret_shows_in_the_printed_settings() -> None:
    settings = load({**HOME, "AXISOR_MASTER_KEY": KEY, "AXISOR_DATABASE_URL": "postgresql://ada:hunter2@db/axisor"})
    assert "hunter2" not in repr(settings)
    assert KEY not in repr(settings)


def test_what_is_missing_is_named_when_it_is_needed() -> None:
    with pytest.raises(ConfigurationError, match="AXISOR_DATABASE_GUARD_URL is not set"):
        _ = load(HOME).database.guard_url


def test_a_longer_quiet_period_is_kept_and_moves_with_its_parts() -> None:
    assert load({**HOME, "AXISOR_QUIET_PERIOD_S": "60"}).guard.quiet_period_s == 60.0
    assert load({**HOME, "AXISOR_SIGNATURE_WINDOW_S": "5"}).guard.quiet_period_s == 15.0


def test_settings_do_not_change_after_the_start() -> None:
    with pytest.raises(ValidationError):
        load(HOME).api.port = 1  # type: ignore[misc]


def test_the_variables_of_other_programs_are_none_of_our_business() -> None:
    load({**HOME, "PATH": "/bin", "AXISOR_TEST_CHROMIUM": "/usr/bin/chromium"})


def test_the_data_folder_follows_the_platform() -> None:
    assert default_data_root(HOME, platform="linux") == Path("/home/ada/.local/share/axisor")
    assert default_data_root({**HOME, "XDG_DATA_HOME": "/data"}, platform="linux") == Path("/data/axisor")
    assert default_data_root(HOME, platform="darwin") == Path("/home/ada/Library/Application Support/Axisor")


def test_the_reference_page_says_what_the_code_says() -> None:
    page = ROOT / "docs" / "reference" / "configuration.md"
    assert page.read_text(encoding="utf-8") == reference(), "run: PYTHONPATH=src python tools/write_docs.py"
