/** One price point for one trade of the fixture: stop, liquidation, warning, top-up, each with its entry. */
import type { Decision } from '@/api/schema';
import { liquidationPrice } from './maths';
import { planOf, type FixtureTrade } from './plan';
import type { World } from './world';

export function guardStep(world: World, trade: FixtureTrade): void {
  if (trade.closed) return;
  const price = world.price;
  if (trade.stop !== null && price <= trade.stop) { close(world, trade, trade.stop, 'stop_loss'); return; }
  if (price <= trade.liquidation) { close(world, trade, trade.liquidation, 'liquidation'); return; }
  if (!trade.rule || world.unwatchedFor > 0) return;
  const plan = planOf(trade);
  const share = (price - trade.liquidation) / price / trade.fullRoom;
  if (trade.isWarned && share > 0.75) trade.isWarned = false;
  if (plan.warn !== null && price <= plan.warn && !trade.isWarned) {
    trade.isWarned = true;
    world.tell(trade, 'caution', 'room_warned', { label: trade.label, price, room_share: share });
  }
  if (plan.topUp === null || price > plan.topUp || world.stoppedFor(trade)) return;
  topUp(world, trade, price, share, plan.topUp);
}

function topUp(world: World, trade: FixtureTrade, price: number, share: number, mark: number): void {
  const plan = planOf(trade);
  const amount = Math.min(plan.left, Math.max(1_000, plan.next));
  const before = { liquidation: trade.liquidation, stop: trade.stop, margin: trade.margin };
  trade.margin += amount;
  trade.added += amount;
  trade.count += 1;
  trade.liquidation = liquidationPrice(trade.quantity, trade.entry, trade.margin);
  trade.stop = planOf(trade).stop;
  trade.isWarned = false;
  world.tell(
    trade,
    'deed',
    'rescue_confirmed',
    {
      label: trade.label, price, trigger_price: mark, room_share: share, amount_sats: amount,
      old_liquidation_price: before.liquidation, new_liquidation_price: trade.liquidation,
      old_stop_price: before.stop, new_stop_price: trade.stop, left_sats: plan.left - amount,
      tick_to_request_ms: 9, tick_to_confirmed_ms: 41, was_second_send: false,
    },
    decisionOf(world, trade, { price, share, amount, mark, ...before }),
  );
  if (plan.left - amount === 0) {
    world.tell(trade, 'caution', 'limit_used', { label: trade.label, spent_sats: trade.added, limit_sats: trade.rule?.position_limit_sats });
  }
}

function close(world: World, trade: FixtureTrade, price: number, reason: 'stop_loss' | 'liquidation'): void {
  trade.closed = { price, at: world.seconds, reason };
  const value = world.value(trade);
  world.tell(trade, reason === 'liquidation' ? 'danger' : 'caution', 'trade_closed', {
    label: trade.label, close_reason: reason, exit_price: price,
    result_sats: value - world.cost(trade) - trade.added, returned_sats: value, added_sats: trade.added,
  });
}

function decisionOf(
  world: World,
  trade: FixtureTrade,
  seen: { price: number; share: number; amount: number; mark: number; liquidation: number; stop: number | null; margin: number },
): Decision {
  const at = world.iso(world.seconds);
  const later = (ms: number): string => world.iso(world.seconds + ms / 1000);
  return {
    decision_id: `d-${trade.id}-${trade.count}`,
    at,
    action: 'add_margin',
    reason: 'top_up',
    inputs: {
      trade: { side: 'long', margin_sats: seen.margin, entry_price: trade.entry, liquidation_price: seen.liquidation },
      trigger_price: seen.price, full_room: String(trade.fullRoom), steps: { warn: [1, false], top_up: [trade.count, true] }, pending: [],
      spending: { position_spent_sats: trade.added - seen.amount, balance_sats: 3_000_000, is_stopped: false },
      outcome: { amount_sats: seen.amount },
    },
    arithmetic: [
      { name: 'room_share', formula: '|price − liquidation| / price / full_room', value: seen.share },
      { name: 'target_liquidation_price', formula: 'last × (1 − full room)', value: trade.liquidation },
      { name: 'amount_sats', formula: 'quantity × (1/target − 1/entry) − margin', value: seen.amount },
    ],
    rule_version: trade.rule?.version ?? 1,
    code_version: '0.1.0',
    attempts: [
      {
        attempt_no: 1, state: 'confirmed', amount_sats: seen.amount, tag: seen.amount % 1000, signed_at: later(7), sent_at: later(9),
        answered_at: later(24), settled_at: later(41), outcome: 'confirmed',
        request: { method: 'POST', path: '/v3/futures/isolated/trade/add-margin', body: { amount: seen.amount, id: trade.id } },
        answer: { status: 200, body_excerpt: `{"id":"${trade.id}","margin":${trade.margin},"liquidation":${trade.liquidation}}` },
      },
    ],
    hash: 'b4a8c1f05d77e2903c61d0b1a5f3e9c27788aa10cf54',
    previous_hash: '1f9e7702ab65c0d3381e54f6d2c7b09a44e3d1c8a902',
  };
}
