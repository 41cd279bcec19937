"""The paper Lightning network: two nodes, and what happens to a payment between them.

Nothing moves but in `advance`: an ordered payment meets its faults, finds its route or none, is accepted by the payee
and arrives, at once or when it is due. Sats are never made or lost: what leaves a balance is in flight, arrives, comes
back, or was earned by those who forwarded it.
"""

from dataclasses import dataclass
from typing import Final

from axisor.infra.lightning.bolt11 import MSATS_PER_SAT
from axisor.paper.clock import Clock, epoch_ms
from axisor.paper.lightning.faults import LightningFaultBook, LightningFaultKind, Payer
from axisor.paper.lightning.node import Node, NodeEvent
from axisor.paper.lightning.ports import FailureReason, PaymentState
from axisor.paper.lightning.records import PaymentRecord

_PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingFee:
    """What forwarding costs, rounded up to a whole sat, so that books in sats agree with the nodes."""

    base_sats: int = 1
    ppm: int = 100

    def of(self, amount_msat: int) -> int:
        """Return the fee of a payment in millisats."""
        msats = self.base_sats * MSATS_PER_SAT + -(-amount_msat * self.ppm // _PPM)
        return -(-msats // MSATS_PER_SAT) * MSATS_PER_SAT


class LightningNetwork:
    """The exchange's node, the user's node, and those between who forward for a fee."""

    def __init__(
        self, *, exchange: Node, user: Node, clock: Clock, faults: LightningFaultBook, fee: RoutingFee
    ) -> None:
        self.exchange = exchange
        self.user = user
        self.faults = faults
        self._fee = fee
        self._clock = clock
        self._by_key = {node.public_key: node for node in (exchange, user)}

    @property
    def nodes(self) -> tuple[Node, Node]:
        return self.exchange, self.user

    def ordered(self) -> dict[str, int]:
        """Return, by node, the index of the newest payment that was ordered."""
        return {node.public_key: node.counters.ordered for node in self.nodes}

    def advance(self, *, routed_until: dict[str, int] | None = None) -> list[NodeEvent]:
        """Move everything that can move now; return what has happened since the last call.

        Args:
            routed_until: An earlier answer of `ordered`: payments ordered since then wait for the next call.
        """
        routed_until = self.ordered() if routed_until is None else routed_until
        now_ms = epoch_ms(self._clock.now())
        for payer, node in ((Payer.EXCHANGE, self.exchange), (Payer.USER, self.user)):
            for payment in node.in_flight():
                if not payment.is_locked and payment.payment_index <= routed_until[node.public_key]:
                    self._route(payer, node, payment, now_ms)
                if payment.is_locked and not payment.is_held and (payment.due_at_ms or 0) <= now_ms:
                    self._arrive(node, payment)
        for node in self.nodes:
            node.expire(now_ms)
            node.forget_old()
        return [event for node in self.nodes for event in node.take_events()]

    @property
    def next_due_ms(self) -> int | None:
        """Return when `advance` has something to do again, if nobody orders anything before."""
        dues = [
            payment.due_at_ms
            for node in self.nodes
            for payment in node.in_flight()
            if payment.due_at_ms is not None and not payment.is_held
        ]
        dues += [due for node in self.nodes if (due := node.next_expiry_ms) is not None]
        return min(dues, default=None)

    def release(self, payment_hash: str, *, reason: FailureReason | None) -> bool:
        """Let a held payment arrive at the next `advance`, or fail for `reason`; False: none is held."""
        for node in self.nodes:
            payment = node.payments.get(payment_hash)
            if payment is None or not payment.is_held or payment.state is not PaymentState.IN_FLIGHT:
                continue
            payment.is_held = False
            node.touch(payment)
            if reason is not None:
                self._by_key[payment.payee].give_back(payment_hash)
                node.fail(payment, reason)
            return True
        return False

    @property
    def held(self) -> list[PaymentRecord]:
        return [each for node in self.nodes for each in node.in_flight() if each.is_held]

    @property
    def in_flight_msat(self) -> int:
        """Return what has left a payer and neither arrived nor come back, fees included."""
        return sum(
            payment.amount_msat + payment.fee_msat
            for node in self.nodes
            for payment in node.in_flight()
            if payment.is_locked
        )

    @property
    def discrepancy_msat(self) -> int:
        """Return by how much the nodes' sats differ from what was put in, less the fees: 0, or something is wrong."""
        counters = [node.counters for node in self.nodes]
        held = sum(each.balance_msat + each.fees_paid_msat for each in counters)
        return held + self.in_flight_msat - sum(each.funded_msat for each in counters)

    def _route(self, payer: Payer, node: Node, payment: PaymentRecord, now_ms: int) -> None:
        met = self.faults.meet(payer=payer, payment_hash=payment.payment_hash, at_ms=now_ms)
        payment.is_notified_twice = LightningFaultKind.NOTIFY_TWICE in met
        payment.is_answer_lost = LightningFaultKind.LOSE_ANSWER in met
        fee_msat = self._fee.of(payment.amount_msat)
        failure = self._why_not(node, payment, fee_msat=fee_msat)
        if (told := met.get(LightningFaultKind.FAIL)) is not None:
            failure = told.reason
        if failure is not None:
            node.fail(payment, failure)
            return
        node.lock(payment, fee_msat=fee_msat)
        self._by_key[payment.payee].accept(payment)
        payment.is_held = LightningFaultKind.HOLD in met
        if (delay := met.get(LightningFaultKind.DELAY)) is not None:
            payment.due_at_ms = now_ms + round(delay.seconds * 1_000)
        node.touch(payment)

    def _why_not(self, node: Node, payment: PaymentRecord, *, fee_msat: int) -> FailureReason | None:
        payee = self._by_key.get(payment.payee)
        if payee is None or payee is node or fee_msat > payment.max_fee_msat:
            return FailureReason.NO_ROUTE
        if payment.amount_msat + fee_msat > node.counters.balance_msat:
            return FailureReason.INSUFFICIENT_BALANCE
        return payee.why_not_accept(payment)

    def _arrive(self, node: Node, payment: PaymentRecord) -> None:
        payee = self._by_key[payment.payee]
        preimage = payee.settle(payment.payment_hash, is_notified_twice=payment.is_notified_twice)
        node.succeed(payment, preimage=preimage)
