"""The monitor with the mistake that Axisor exists to avoid: a time-out is answered by sending again."""

from axisor.cli.main import main
from axisor.features.execution.executor import Executor
from axisor.ports.exchange import Answer, AnswerKind, SignedRequest

send_once = Executor.send


async def send_again(self: Executor, request: SignedRequest) -> Answer:
    answer = await send_once(self, request)
    if answer.kind is AnswerKind.UNKNOWN:
        answer = await send_once(self, self._client.sign(request.command))
    return answer


Executor.send = send_again  # type: ignore[method-assign]
main()
