"""Logging: one event a line, with fields, without secrets, to stderr and a file of the role."""

import logging
import logging.handlers
import re
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final, Literal

import structlog
from structlog.typing import Processor

_FILE_BYTES: Final = 10_000_000
_FILES_KEPT: Final = 5
_REDACTED: Final = "[redacted]"
_SECRET_KEY: Final = re.compile(
    r"secret|passw|passphrase|token(?!s)|authori[sz]ation|signature|macaroon|cookie|credential|api_?key|private_?key"
    r"|master_?key|jwt_?key|internal_?key|lnm-access",
    re.IGNORECASE,
)
# user:password@ of an address, and the three parts of a JWT, wherever they stand in a text
_SECRET_TEXT: Final = re.compile(r"(?<=://)[^/\s@]*:[^/\s@]+(?=@)|\beyJ[\w-]+\.[\w-]+\.[\w-]+")
_NOISY: Final = ("asyncio", "aiohttp.access", "sqlalchemy.engine", "uvicorn.access", "uvicorn.error", "alembic")


def configure(
    *,
    role: str,
    level: Literal["debug", "info", "warning", "error"],
    form: Literal["json", "text"],
    log_dir: Path | None,
    to_stderr: bool = True,
) -> None:
    """Send the events of structlog and of the standard library to stderr and `log_dir/ROLE.log`."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_role(role),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handlers: list[logging.Handler] = []
    if to_stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    if log_dir is not None:
        log_dir.mkdir(parents=True, exist_ok=True)
        handlers.append(
            logging.handlers.RotatingFileHandler(
                log_dir / f"{role}.log", maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8"
            )
        )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of secret-looking keys and the passwords inside addresses, at every depth."""
    for key, value in event.items():
        event[key] = _REDACTED if _SECRET_KEY.search(key) and value is not None else _clean(value)
    return event


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET_TEXT.sub(_REDACTED, value)
    if isinstance(value, Mapping):
        return {
            key: _REDACTED if _SECRET_KEY.search(str(key)) and inner is not None else _clean(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    return value


def _add_role(role: str) -> Processor:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("role", role)
        return event

    return add
