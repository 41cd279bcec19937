"""The monitor with the mistake that a request is signed when it leaves, not before its attempt is stored."""

from tests.fire.mutants.frozen import freeze_if_asked

from axisor.cli.main import main
from axisor.domain.commands import AddMargin
from axisor.features.execution.executor import Executor
from axisor.ports.exchange import Answer, AnswerKind, SignedRequest


async def send(self: Executor, request: SignedRequest) -> Answer:
    if not self._lease.is_held:
        return Answer(kind=AnswerKind.NOT_PROCESSED, reason="lease_expired")
    if isinstance(request.command, AddMargin):
        freeze_if_asked()
    return await self._client.send(self._client.sign(request.command), deadline_s=self._timing.send_deadline_s)


Executor.send = send  # type: ignore[method-assign]
main()
