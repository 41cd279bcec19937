"""Work that is handed to another process: names and ids, never a copy of the state."""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Protocol


class QueueName(StrEnum):
    """One queue per kind of promise, so that a flood of one never delays another."""

    ROUTINE = "axisor-routine"  # reading accounts, retention, sealing
    NOTIFY = "axisor-notify"  # telling people
    COMMANDS = "axisor-commands"  # requested commands, taken by the monitor alone


class Priority(IntEnum):
    """Who goes first inside a queue; the smaller number."""

    URGENT = 1
    NORMAL = 10
    BACKGROUND = 100


type Ids = Mapping[str, str]
"""What a job is told: ids and other short words. The job reads everything else itself."""


class JobQueue(Protocol):
    """At least once: a job may run twice and must then do no harm."""

    async def add(
        self,
        name: str,
        ids: Ids,
        *,
        queue: QueueName = QueueName.ROUTINE,
        priority: Priority = Priority.NORMAL,
        job_id: str | None = None,
        coalesce_by: str | None = None,
        delay_s: float = 0,
    ) -> str:
        """Return the id of the job.

        `job_id`: a job of this id that is still remembered is not added again.
        `coalesce_by`: at most one job of this key runs and one more waits; the waiting one is the newest.

        Raises:
            QueueUnavailable: it is not known whether the job was added.
        """
        ...
