"""Between the first factor and a session: whoever has a second factor is asked for it."""

from typing import Final

from axisor.domain.units import UserId
from axisor.features.accounts import factor_repository as factors
from axisor.features.accounts.challenges import LIFE, Challenge, ChallengeKind, Challenges
from axisor.features.accounts.errors import FactorRequired
from axisor.infra.db.session import Database

_EXPIRES_IN_S: Final = int(LIFE.total_seconds())


class FactorGate:
    """Lets people without a second factor through."""

    def __init__(self, database: Database, challenges: Challenges) -> None:
        self._database = database
        self._challenges = challenges

    async def check(self, user_id: UserId, *, method: str) -> None:
        """Return nothing for somebody without a second factor.

        Raises:
            FactorRequired: they have one; the error carries the challenge that it has to answer.
        """
        methods = await self.methods_of(user_id)
        if not methods:
            return
        challenge = await self._challenges.issue(ChallengeKind.SECOND_FACTOR, Challenge(user_id=user_id, method=method))
        raise FactorRequired(challenge=challenge, methods=methods, expires_in_s=_EXPIRES_IN_S)

    async def methods_of(self, user_id: UserId) -> tuple[str, ...]:
        """Return with what a person can prove a second factor; nothing where they have none."""
        async with self._database.transaction(user_id=user_id) as connection:
            return await factors.list_methods(connection, user_id)
