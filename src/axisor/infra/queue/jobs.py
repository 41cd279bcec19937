"""What a job is: a name, the function that does it, and how it is treated.

A handler takes ids, reads the state itself and may run twice without harm:

    @job("notifications.announce", queue=QueueName.NOTIFY)
    async def announce(ctx: JobContext, *, user_id: str, notification_id: str) -> None: ...
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from axisor.domain.errors import AxisorError, ConfigurationError
from axisor.ports.job_queue import Ids, JobQueue, Priority, QueueName

_LONGEST_ID: Final = 128


class JobContext:
    """The services that handlers use, by their type."""

    def __init__(self, services: Mapping[type[Any], object] | None = None) -> None:
        self._services = dict(services or {})

    def provide[T](self, kind: type[T], service: T) -> None:
        """Make `service` available under `kind`."""
        self._services[kind] = service

    def service[T](self, kind: type[T]) -> T:
        """Return the service of a type.

        Raises:
            ConfigurationError: this process was built without it.
        """
        try:
            return cast("T", self._services[kind])
        except KeyError:
            raise ConfigurationError(f"no {kind.__name__} was built for the jobs of this process") from None


type JobHandler = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDefinition:
    """A job as its slice defines it; call `enqueue` to have it done elsewhere."""

    name: str
    handler: JobHandler
    queue: QueueName
    priority: Priority
    deadline_s: float
    coalesce_by: tuple[str, ...]
    """Ids that name the thing worked on: at most one job per thing runs and one more waits, the newest."""

    async def enqueue(self, queue: JobQueue, *, job_id: str | None = None, delay_s: float = 0, **ids: str) -> str:
        """Hand the job to `queue` and return its id."""
        return await queue.add(
            self.name,
            checked_ids(ids),
            queue=self.queue,
            priority=self.priority,
            job_id=job_id,
            coalesce_by=self.coalesce_key(ids),
            delay_s=delay_s,
        )

    def coalesce_key(self, ids: Ids) -> str | None:
        """Return the key under which jobs of the same thing become one, None where each counts."""
        if not self.coalesce_by:
            return None
        return "|".join((self.name, *(ids[name] for name in self.coalesce_by)))


def job(
    name: str,
    *,
    queue: QueueName = QueueName.ROUTINE,
    priority: Priority = Priority.NORMAL,
    deadline_s: float = 30.0,
    coalesce_by: tuple[str, ...] = (),
) -> Callable[[JobHandler], JobDefinition]:
    """Define a job `slice.name`; `deadline_s` bounds one run of it.

    Raises:
        ConfigurationError: the name has no slice, or the handler takes something else than ids by keyword.
    """

    def define(handler: JobHandler) -> JobDefinition:
        slice_name, dot, verb = name.partition(".")
        if not (slice_name and dot and verb):
            raise ConfigurationError(f"a job is named slice.name, not {name!r}")
        first, *ids = inspect.signature(handler).parameters.values()
        if first.name != "ctx" or any(each.kind is not inspect.Parameter.KEYWORD_ONLY for each in ids):
            raise ConfigurationError(f"{name}: a handler takes ctx, then ids by keyword")
        return JobDefinition(
            name=name,
            handler=handler,
            queue=queue,
            priority=priority,
            deadline_s=deadline_s,
            coalesce_by=coalesce_by,
        )

    return define


def checked_ids(ids: Mapping[str, object]) -> dict[str, str]:
    """Return `ids` as they go over the wire.

    Raises:
        AxisorError: a value is no short word: a job takes ids, never a copy of the state.
    """
    words: dict[str, str] = {}
    for key, value in ids.items():
        if not isinstance(value, str) or len(value) > _LONGEST_ID:
            raise AxisorError(f"a job takes ids, {key} is none", key=key)
        words[key] = value
    return words
