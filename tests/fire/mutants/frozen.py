"""The product's own monitor, which stops itself once where it is asked to: past every check, before the first byte.

Only there does it show that the signature is older than the attempt: what is sent after waking is refused.
"""

import os
import signal
from pathlib import Path
from typing import Final

from axisor.cli.main import main
from axisor.domain.commands import AddMargin
from axisor.features.execution.executor import Executor
from axisor.ports.exchange import Answer, AnswerKind, SignedRequest

ASKED: Final = "freeze-before-writing"
FROZEN: Final = "frozen-before-writing"


def freeze_if_asked() -> None:
    """Stand still until somebody wakes this process; only the first that is asked does."""
    folder = Path(os.environ["AXISOR_DATA_DIR"])
    try:
        (folder / ASKED).rename(folder / FROZEN)
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGSTOP)


async def send(self: Executor, request: SignedRequest) -> Answer:
    if not self._lease.is_held:
        return Answer(kind=AnswerKind.NOT_PROCESSED, reason="lease_expired")
    if isinstance(request.command, AddMargin):
        freeze_if_asked()
    return await self._client.send(request, deadline_s=self._timing.send_deadline_s)


if __name__ == "__main__":
    Executor.send = send  # type: ignore[method-assign]
    main()
