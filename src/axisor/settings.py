"""Configuration: environment variables with the prefix `AXISOR_`, read once, typed, in frozen groups.

An unknown or malformed variable refuses the start and is named. A secret may be given as a file: `AXISOR_X_FILE`
instead of `AXISOR_X`. Each group is a frozen model whose fields carry the variable's name as alias, so that the
reference page is generated from this file alone.
"""

import base64
import binascii
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo

from axisor.domain.errors import ConfigurationError

PREFIX: Final = "AXISOR_"
_MASTER_KEY_BYTES: Final = 32

# Read by the start script and the test runner, not by the program: known, and nobody's setting.
_FOREIGN: Final = frozenset({"AXISOR_PYTHON", "AXISOR_TEST_CHROMIUM", "AXISOR_TEST_KEEP", "AXISOR_TEST_LONG"})


def _variable(name: str, text: str, *, default: Any = None, **limits: Any) -> Any:
    """Return a field that is read from `AXISOR_<name>` and described by `text` on the reference page."""
    return Field(default, alias=PREFIX + name, description=text, **limits)


class Group(BaseModel):
    """A frozen set of settings of one concern; its fields may be set by name in tests."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    def _required(self, field: str) -> str:
        value = getattr(self, field)
        if value is None:
            alias = type(self).model_fields[field].alias
            raise ConfigurationError(f"{alias} is not set", variable=alias)
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


class DatabaseSettings(Group):
    """PostgreSQL, by role: each process takes the least powerful address that does its work."""

    app: SecretStr | None = _variable("DATABASE_URL", "PostgreSQL of the application role (row-level security forced).")
    owner: SecretStr | None = _variable(
        "DATABASE_OWNER_URL", "PostgreSQL of the role that owns the tables: migrations."
    )
    guard: SecretStr | None = _variable("DATABASE_GUARD_URL", "PostgreSQL of the monitor's role.")
    worker: SecretStr | None = _variable("DATABASE_WORKER_URL", "PostgreSQL of the workers' role.")

    @property
    def app_url(self) -> str:
        return self._required("app")

    @property
    def owner_url(self) -> str:
        return self._required("owner")

    @property
    def guard_url(self) -> str:
        return self._required("guard")

    @property
    def worker_url(self) -> str:
        return self._required("worker")


class ValkeySettings(Group):
    """Valkey or Redis."""

    address: SecretStr | None = _variable("VALKEY_URL", "Valkey 8+ or Redis 7+: redis://[:password@]host:port/db.")

    @property
    def url(self) -> str:
        return self._required("address")


class PathSettings(Group):
    """Where files live."""

    data_dir: Path = _variable("DATA_DIR", "Folder of this instance: logs, spool, engines. Never inside the checkout.")

    @property
    def run_dir(self) -> Path:
        """The folder of heartbeats, locks and keys of the running instance."""
        return self.data_dir / "run"

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "logs"


class KeySettings(Group):
    """Key material, base64."""

    master: SecretStr | None = _variable("MASTER_KEY", "32 bytes, base64: encrypts the exchange keys of the accounts.")
    jwt: SecretStr | None = _variable("JWT_KEY", "At least 32 bytes, base64: signs the sessions' tokens.")

    previous_jwt: SecretStr | None = _variable(
        "JWT_KEY_PREVIOUS", "The key before AXISOR_JWT_KEY, for ten minutes after a change: its tokens are still read."
    )

    @model_validator(mode="after")
    def _keys_are_whole(self) -> Self:
        if self.master is not None and len(_decode(self.master, "MASTER_KEY")) != _MASTER_KEY_BYTES:
            raise ConfigurationError("AXISOR_MASTER_KEY must be exactly 32 bytes, base64", variable="AXISOR_MASTER_KEY")
        if self.jwt is not None and len(_decode(self.jwt, "JWT_KEY")) < _MASTER_KEY_BYTES:
            raise ConfigurationError("AXISOR_JWT_KEY must be at least 32 bytes, base64", variable="AXISOR_JWT_KEY")
        if self.previous_jwt is not None and len(_decode(self.previous_jwt, "JWT_KEY_PREVIOUS")) < _MASTER_KEY_BYTES:
            raise ConfigurationError(
                "AXISOR_JWT_KEY_PREVIOUS must be at least 32 bytes, base64", variable="AXISOR_JWT_KEY_PREVIOUS"
            )
        return self

    @property
    def master_key(self) -> bytes:
        """The 32 bytes that encrypt exchange keys."""
        return base64.b64decode(self._required("master"), validate=True)

    @property
    def jwt_key(self) -> bytes:
        """The bytes that sign tokens, at least 32."""
        return base64.b64decode(self._required("jwt"), validate=True)

    @property
    def previous_jwt_keys(self) -> tuple[bytes, ...]:
        """Keys that no longer sign and are still read."""
        return () if self.previous_jwt is None else (_decode(self.previous_jwt, "JWT_KEY_PREVIOUS"),)


class ApiSettings(Group):
    """The HTTP and WebSocket server."""

    host: str = _variable("API_HOST", "Address the API listens on.", default="127.0.0.1")
    port: int = _variable("API_PORT", "Port the API listens on.", default=8000, ge=0, le=65535)
    public_url: str | None = _variable("PUBLIC_URL", "Address people open in the browser; default: host and port.")
    internal_key: SecretStr | None = _variable("INTERNAL_KEY", "Shared by the processes of one machine for /internal.")

    @property
    def internal_secret(self) -> str:
        return self._required("internal_key")

    @property
    def url(self) -> str:
        """The address people open, without a slash at its end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


class ExchangeSettings(Group):
    """Where the exchanges are, and how fast they may be asked."""

    paper_rest_url: str | None = _variable("PAPER_REST_URL", "REST base address of the paper exchange.")
    paper_stream_url: str | None = _variable("PAPER_STREAM_URL", "Stream address of the paper exchange.")
    signet_rest_url: str = _variable(
        "SIGNET_REST_URL", "LN Markets signet, REST.", default="https://api.signet.lnmarkets.com/v3"
    )
    signet_stream_url: str = _variable(
        "SIGNET_STREAM_URL", "LN Markets signet, stream.", default="wss://stream.signet.lnmarkets.com/v1"
    )
    mainnet_rest_url: str = _variable(
        "MAINNET_REST_URL", "LN Markets mainnet, REST.", default="https://api.lnmarkets.com/v3"
    )
    mainnet_stream_url: str = _variable(
        "MAINNET_STREAM_URL", "LN Markets mainnet, stream.", default="wss://stream.lnmarkets.com/v1"
    )
    private_rate_per_s: float = _variable("PRIVATE_RATE_PER_S", "Signed requests a second and key.", default=5.0, gt=0)
    private_burst: int = _variable("PRIVATE_BURST", "Signed requests that may leave at once.", default=5, ge=1)
    private_kept_for_protect: int = _variable(
        "PRIVATE_KEPT_FOR_PROTECT",
        "Of these, how many only protection and the readings of unknown outcomes may use.",
        default=2,
        ge=0,
    )
    address_rate_per_s: float | None = _variable(
        "ADDRESS_RATE_PER_S",
        "Signed requests a second of all keys of this address together. Default: each key has its own limit only.",
        gt=0,
    )
    address_burst: int = _variable(
        "ADDRESS_BURST", "Signed requests that may leave this address at once.", default=5, ge=1
    )
    address_kept_for_protect: int = _variable(
        "ADDRESS_KEPT_FOR_PROTECT",
        "Of these, how many only protection and the readings of unknown outcomes may use.",
        default=2,
        ge=0,
    )
    public_rate_per_s: float = _variable(
        "PUBLIC_RATE_PER_S", "Unsigned requests a second and address.", default=1.0, gt=0
    )


class GuardSettings(Group):
    """The margin guard's clocks. All in seconds."""

    signature_window_s: float = _variable(
        "SIGNATURE_WINDOW_S", "How old a signature the exchange accepts.", default=30.0, gt=0
    )
    apply_bound_s: float = _variable(
        "APPLY_BOUND_S", "How long after a request the exchange may still apply it.", default=10.0, ge=0
    )
    configured_quiet_period_s: float | None = _variable(
        "QUIET_PERIOD_S",
        "Wait before an unknown outcome is read. Default and least value: signature window + apply bound.",
        gt=0,
    )
    send_deadline_s: float = _variable(
        "SEND_DEADLINE_S", "Longest wait for the answer of a command.", default=5.0, gt=0
    )
    lease_ttl_s: float = _variable("LEASE_TTL_S", "Life of an account's lease without renewal.", default=4.0, gt=0)
    read_near_s: float = _variable("READ_NEAR_S", "Age of an endangered account's facts at most.", default=2.0, gt=0)
    read_far_s: float = _variable("READ_FAR_S", "Age of a calm account's facts at most.", default=45.0, gt=0)
    price_stale_s: float = _variable("PRICE_STALE_S", "A price older than this spends no sat.", default=5.0, gt=0)
    second_send: bool = _variable(
        "SECOND_SEND", "Send a second, differently tagged top-up when waiting would kill the position.", default=True
    )
    imitates_cross_stop: bool = _variable(
        "CROSS_STOP_ORDER",
        "Let a resting limit order stand in for the stop that a cross position cannot have. It is not reduce-only: "
        "if the position is closed or reduced by other means while Axisor is away, filling it opens one the other way.",
        default=False,
    )
    use_bucket_quotes: bool = _variable(
        "USE_BUCKET_QUOTES", "Trigger on the worse of last price and the quote of the position's size.", default=True
    )
    commit_deadline_s: float = _variable(
        "COMMIT_DEADLINE_S", "Longest wait for the database before the local spool is used.", default=0.25, gt=0
    )

    @model_validator(mode="after")
    def _quiet_period_is_long_enough(self) -> Self:
        quiet, least = self.configured_quiet_period_s, self.signature_window_s + self.apply_bound_s
        if quiet is not None and quiet < least:
            raise ConfigurationError(
                f"AXISOR_QUIET_PERIOD_S is {quiet:g}: it must be at least {least:g}, "
                "the signature window plus the apply bound",
                variable="AXISOR_QUIET_PERIOD_S",
            )
        return self

    @property
    def quiet_period_s(self) -> float:
        """Seconds from a signature until the absence of its effect proves that it had none."""
        return self.configured_quiet_period_s or self.signature_window_s + self.apply_bound_s


class LndSettings(Group):
    """The owner's Lightning node, from which a rule may fund a top-up."""

    url: str | None = _variable("LND_URL", "LND's REST API, such as https://127.0.0.1:8080; unset: no node pays.")
    macaroon: Path | None = _variable(
        "LND_MACAROON", "File of the macaroon: one that may pay (offchain:write) and read (offchain:read)."
    )
    certificate: Path | None = _variable("LND_TLS_CERT", "LND's tls.cert; unset: the machine's certificates.")
    account: str | None = _variable(
        "LND_ACCOUNT", "Id of the one exchange account whose rules may be funded from this node."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.url is None:
            return self
        for name, value in (("LND_MACAROON", self.macaroon), ("LND_ACCOUNT", self.account)):
            if value is None:
                variable = PREFIX + name
                raise ConfigurationError(f"{variable} is not set, and AXISOR_LND_URL is", variable=variable)
        return self


class PeopleSettings(Group):
    """Who may become a user."""

    registration: Literal["open", "invitation", "closed"] = _variable(
        "REGISTRATION", "Who may make an account: anybody, whoever is invited, or nobody.", default="closed"
    )


class SmtpSettings(Group):
    """The mail server; unset: no mail is sent, and nobody registers."""

    host: str | None = _variable("SMTP_HOST", "Mail server; unset: this instance sends no mail.")
    port: int = _variable("SMTP_PORT", "Port of the mail server.", default=587, ge=1, le=65535)
    security: Literal["tls", "starttls", "plain"] = _variable(
        "SMTP_SECURITY", "tls from the first byte, starttls, or plain for a server on this machine.", default="starttls"
    )
    username: str | None = _variable("SMTP_USERNAME", "Name at the mail server; unset: none is asked for.")
    password: SecretStr | None = _variable("SMTP_PASSWORD", "Password at the mail server.")
    sender: str | None = _variable("SMTP_FROM", "Sender of the mails, such as Axisor <axisor@example.com>.")
    ca_file: Path | None = _variable("SMTP_CA_FILE", "Certificates to trust; unset: the machine's.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.host is None:
            return self
        if self.sender is None:
            raise ConfigurationError(
                "AXISOR_SMTP_FROM is not set, and AXISOR_SMTP_HOST is", variable="AXISOR_SMTP_FROM"
            )
        if (self.username is None) != (self.password is None):
            raise ConfigurationError(
                "AXISOR_SMTP_USERNAME and AXISOR_SMTP_PASSWORD belong together", variable="AXISOR_SMTP_USERNAME"
            )
        if self.security == "plain" and self.host not in {"localhost", "127.0.0.1", "::1"}:
            raise ConfigurationError(
                "AXISOR_SMTP_SECURITY plain is for a mail server on this machine alone",
                variable="AXISOR_SMTP_SECURITY",
            )
        return self


class DemoSettings(Group):
    """The demonstration: made-up money, a market that waits for the first page."""

    enabled: bool = _variable("DEMO", "This instance is a demo: it refuses real keys.", default=False)
    control_url: str | None = _variable("PAPER_CONTROL_URL", "Control address of the paper exchange.")
    control_token: SecretStr | None = _variable("PAPER_CONTROL_TOKEN", "Token of the paper exchange's control address.")


class LoggingSettings(Group):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = _variable("LOG_LEVEL", "Least level.", default="info")
    format: Literal["json", "text"] = _variable("LOG_FORMAT", "json for machines, text for people.", default="json")


class ProcessSettings(Group):
    """What a supervisor hands to its children."""

    ready_fd: int | None = _variable("READY_FD", "File descriptor that takes one byte once the role is ready.", ge=0)
    parent_fd: int | None = _variable("PARENT_FD", "File descriptor that closes when the supervisor dies.", ge=0)


class Settings(BaseModel):
    """Everything the program was told at its start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: DatabaseSettings
    valkey: ValkeySettings
    paths: PathSettings
    keys: KeySettings
    api: ApiSettings
    exchange: ExchangeSettings
    guard: GuardSettings
    lnd: LndSettings
    people: PeopleSettings
    smtp: SmtpSettings
    demo: DemoSettings
    logging: LoggingSettings
    process: ProcessSettings


def default_data_root(environ: Mapping[str, str], *, platform: str = sys.platform) -> Path:
    """Return the folder that holds the instances `demo` and `live` of this user, as the platform has it."""
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    if platform == "darwin":
        return home / "Library" / "Application Support" / "Axisor"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "axisor"


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings that `environ` describes.

    Raises:
        ConfigurationError: A variable is unknown, malformed, given twice or its file cannot be read; it is named.
    """
    known = {alias: (group, field) for group, _, field, alias in _variables()}
    values: dict[str, dict[str, str]] = {group: {} for group in Settings.model_fields}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable in _FOREIGN:
            continue
        name, value = _resolve(variable, text, environ=environ, known=known)
        values[known[name][0]][name] = value
    values["paths"].setdefault(PREFIX + "DATA_DIR", str(default_data_root(environ) / "live"))
    groups: dict[str, Any] = {}
    for name, info in Settings.model_fields.items():
        groups[name] = _build(_group_of(info), values[name])
    return Settings(**groups)


def reference() -> str:
    """Return the reference page of all variables, in Markdown."""
    lines = [
        "# Configuration",
        "",
        "Environment variables, read once at start. An unknown or malformed one stops the start with exit code 2 and",
        "its name. A secret may be given as a file: append `_FILE` to its name and give the path.",
        "This page is generated from `src/axisor/settings.py` by `tools/write_docs.py`; a test compares the two.",
    ]
    group_seen = ""
    for group, model, field, alias in _variables():
        if group != group_seen:
            group_seen = group
            summary = (model.__doc__ or "").strip().splitlines()[0]
            lines += [
                "",
                f"## {group.capitalize()}",
                "",
                summary,
                "",
                "| variable | default | meaning |",
                "|---|---|---|",
            ]
        info = model.model_fields[field]
        suffix = " Secret: `_FILE` allowed." if _is_secret(info) else ""
        lines.append(f"| `{alias}` | {_default_text(alias, info)} | {info.description}{suffix} |")
    return "\n".join(lines) + "\n"


def _variables() -> Iterator[tuple[str, type[Group], str, str]]:
    for group, info in Settings.model_fields.items():
        model = _group_of(info)
        for field, field_info in model.model_fields.items():
            alias = field_info.alias
            assert alias is not None
            yield group, model, field, alias


def _group_of(info: FieldInfo) -> type[Group]:
    model = info.annotation
    assert isinstance(model, type)
    assert issubclass(model, Group)
    return model


def _is_secret(info: FieldInfo) -> bool:
    return info.annotation is SecretStr or SecretStr in get_args(info.annotation)


def _default_text(alias: str, info: FieldInfo) -> str:
    if alias == PREFIX + "DATA_DIR":
        return "`live` in the platform's data folder"
    if info.default is None:
        return "–"
    value = str(info.default).lower() if isinstance(info.default, bool) else f"{info.default}"
    return f"`{value}`"


def _resolve(
    variable: str, text: str, *, environ: Mapping[str, str], known: Mapping[str, tuple[str, str]]
) -> tuple[str, str]:
    """Return the name and value a variable stands for, reading the file of a `_FILE` variant."""
    if variable in known:
        return variable, text
    name = variable.removesuffix("_FILE")
    if name == variable or name not in known or not _is_secret(_field(known[name])):
        raise ConfigurationError(
            f"{variable} is not a variable of Axisor{_nearest(variable, known)}", variable=variable
        )
    if name in environ:
        raise ConfigurationError(f"{name} and {variable} are both set: keep one", variable=variable)
    try:
        return name, Path(text).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigurationError(
            f"{variable} names {text}, which cannot be read: {reason}", variable=variable
        ) from error


def _field(place: tuple[str, str]) -> FieldInfo:
    group, field = place
    return _group_of(Settings.model_fields[group]).model_fields[field]


def _nearest(variable: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(variable, known, n=1, cutoff=0.8)
    return f" (did you mean {close[0]}?)" if close else ""


def _build(model: type[Group], values: Mapping[str, str]) -> Group:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        variable = str(first["loc"][0]) if first["loc"] else model.__name__
        reason = first["msg"][0].lower() + first["msg"][1:]
        raise ConfigurationError(f"{variable} is not valid: {reason}", variable=variable) from error


def _decode(secret: SecretStr, name: str) -> bytes:
    try:
        return base64.b64decode(secret.get_secret_value(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError(f"{PREFIX}{name} is not base64", variable=PREFIX + name) from error
