"""Handing a person's command to the process that may send for the account."""

from typing import Protocol

from axisor.infra.queue.jobs import JobContext, job
from axisor.ports.job_queue import Priority, QueueName


class RequestTaker(Protocol):
    """The owner of accounts: the monitor."""

    async def take_requests(self, exchange_account_id: str) -> None:
        """Carry out what people asked of an account and nobody has taken yet."""
        ...


@job("execution.take_request", queue=QueueName.COMMANDS, priority=Priority.URGENT, deadline_s=30)
async def take_request(ctx: JobContext, *, exchange_account_id: str, request_id: str) -> None:
    """Take the due requests of an account; taking them twice sends nothing twice, the request's id is the cause."""
    del request_id  # the row says what is due; the id is what the queue and the log show
    owner: RequestTaker = ctx.service(RequestTaker)  # type: ignore[type-abstract] # a Protocol is the key of the service
    await owner.take_requests(exchange_account_id)
