/** What a rule of the fixture would do: marks, steps, limits and worst cases. */
import type { Guard, Rule, RuleBody } from '@/api/schema';
import { feeSats, liquidationPrice, pnlSats, priceAtRoom, topUpSats } from './maths';

export interface FixtureTrade {
  id: string;
  account: string;
  twin: string;
  label: string;
  leverage: number;
  quantity: number;
  entry: number;
  entryMargin: number;
  margin: number;
  initialLiquidation: number;
  liquidation: number;
  fullRoom: number;
  rule: Rule | null;
  stop: number | null;
  added: number;
  count: number;
  isWarned: boolean;
  /** The whole rule, and how often it was saved. */
  body: RuleBody | null;
  closed: { price: number; at: number; reason: 'stop_loss' | 'liquidation' | 'user' } | null;
}

export function resultAt(trade: FixtureTrade, margin: number, price: number): { returns: number; loss: number } {
  const reserve = feeSats(trade.quantity, trade.initialLiquidation);
  const returns = Math.max(0, margin + reserve + pnlSats(trade.quantity, trade.entry, price) - feeSats(trade.quantity, price));
  const paid = trade.entryMargin + feeSats(trade.quantity, trade.entry) + reserve + (margin - trade.entryMargin);
  return { returns, loss: returns - paid };
}

/** The figures of a rule that the story follows. */
export interface RuleChange {
  top_up_share: number | null;
  refill_share: number | null;
  position_limit_sats: number;
  max_count: number | null;
  stop_share: number | null;
  warn_share: number | null;
  version: number;
}

interface Preview {
  warn_price: number | null;
  top_up_price: number | null;
  first_top_up_sats: number | null;
  steps: { price: number; sats: number; liquidation_price: number }[];
  covered_to_price: number | null;
  safety_stop_price: number | null;
  stop_returns_sats: number | null;
  worst_case_sats: number | null;
  unguarded_worst_case_sats: number | null;
}

export function previewOf(trade: FixtureTrade, change: RuleChange): Preview {
  const mark = (share: number | null, liquidation: number): number | null =>
    share === null ? null : priceAtRoom(liquidation, share * trade.fullRoom);
  const steps: Preview['steps'] = [];
  let margin = trade.margin;
  let liquidation = trade.liquidation;
  let left = Math.max(0, change.position_limit_sats - trade.added);
  for (let n = trade.count; n < (change.max_count ?? 0) && left > 0 && change.top_up_share !== null; n += 1) {
    const price = mark(change.top_up_share, liquidation) ?? 0;
    const wanted = topUpSats(trade.quantity, trade.entry, margin, price, (change.refill_share ?? 1) * trade.fullRoom);
    const sats = Math.min(wanted, left);
    if (sats <= 0) break;
    margin += sats;
    left -= sats;
    liquidation = liquidationPrice(trade.quantity, trade.entry, margin);
    steps.push({ price, sats, liquidation_price: liquidation });
  }
  const lastStop = mark(change.stop_share, liquidation);
  const worst = resultAt(trade, margin, lastStop ?? liquidation);
  const stopNow = mark(change.stop_share, trade.liquidation);
  return {
    warn_price: mark(change.warn_share, trade.liquidation),
    top_up_price: mark(change.top_up_share, trade.liquidation),
    first_top_up_sats: steps[0]?.sats ?? null,
    steps,
    covered_to_price: lastStop ?? liquidation,
    safety_stop_price: stopNow,
    stop_returns_sats: stopNow === null ? null : worst.returns,
    worst_case_sats: worst.loss,
    unguarded_worst_case_sats: resultAt(trade, trade.entryMargin, 0.0001).loss,
  };
}

export interface Plan {
  warn: number | null;
  topUp: number | null;
  stop: number | null;
  left: number;
  next: number;
  guard: (isStopped: boolean, isUnwatched: boolean) => Guard;
}

export function planOf(trade: FixtureTrade): Plan {
  const { rule } = trade;
  const change: RuleChange = rule ?? {
    top_up_share: null, refill_share: null, position_limit_sats: 0, max_count: 0, stop_share: null, warn_share: null, version: 0,
  };
  const preview = previewOf(trade, change);
  const left = Math.max(0, change.position_limit_sats - trade.added);
  const stop = change.stop_share === null ? null : priceAtRoom(trade.liquidation, change.stop_share * trade.fullRoom);
  const guard = (isStopped: boolean, isUnwatched: boolean): Guard => ({
    rule,
    warn_price: preview.warn_price,
    top_up_price: left > 0 ? preview.top_up_price : null,
    safety_stop_price: stop,
    give_up_price: preview.covered_to_price,
    next_top_up_sats: preview.first_top_up_sats,
    spent_sats: trade.added,
    limit_sats: change.position_limit_sats,
    left_sats: left,
    count_left: Math.max(0, (change.max_count ?? 0) - trade.count),
    worst_case_sats: preview.worst_case_sats,
    unguarded_worst_case_sats: preview.unguarded_worst_case_sats,
    stop_returns_sats: stop === null ? null : resultAt(trade, trade.margin, stop).returns,
    covered_to_price: isStopped ? trade.liquidation : preview.covered_to_price,
    state: trade.closed ? 'closed' : isUnwatched ? 'unwatched' : isStopped ? 'spending_stopped' : left === 0 ? 'limit_used' : trade.isWarned ? 'warned' : 'calm',
    is_spending_stopped: isStopped,
  });
  return { warn: preview.warn_price, topUp: left > 0 ? preview.top_up_price : null, stop, left, next: preview.first_top_up_sats ?? 0, guard };
}
