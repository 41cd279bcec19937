/** What a rule of the fixture would do: marks, steps, limits and worst cases. */
import type { Guard, Preview, Rule, RuleChange } from '@/api/schema';
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
  closed: { price: number; at: number; reason: 'stop_loss' | 'liquidation' | 'user' } | null;
}

function resultAt(trade: FixtureTrade, margin: number, price: number): { returns: number; loss: number } {
  const reserve = feeSats(trade.quantity, trade.initialLiquidation);
  const returns = Math.max(0, margin + reserve + pnlSats(trade.quantity, trade.entry, price) - feeSats(trade.quantity, price));
  const paid = trade.entryMargin + feeSats(trade.quantity, trade.entry) + reserve + (margin - trade.entryMargin);
  return { returns, loss: returns - paid };
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
    liquidation_after_price: steps[0]?.liquidation_price ?? null,
    steps,
    covered_to_price: lastStop ?? liquidation,
    safety_stop_price: stopNow,
    stop_returns_sats: stopNow === null ? null : worst.returns,
    worst_case_sats: worst.loss,
    unguarded_worst_case_sats: resultAt(trade, trade.entryMargin, 0.0001).loss,
    nights: nightsOf(trade, change),
  };
}

/** The 2018 table's figures for Hold, bent a little by the limit so that a drag visibly changes them. */
function nightsOf(trade: FixtureTrade, change: RuleChange): Preview['nights'] {
  const table = { 10: [2, 5, 96, 66], 25: [15, 34, 75, 48], 50: [35, 58, 53, 40] } as const;
  const row = table[trade.leverage as 10 | 25 | 50];
  const [died, acted, savedShare, betterShare] = row;
  const budget = Math.min(1.3, change.position_limit_sats / trade.entryMargin);
  const early = (change.top_up_share ?? 0) / 0.5;
  const saved = Math.min(died, Math.round((died * savedShare * Math.sqrt(budget)) / 100));
  const better = Math.round((died * betterShare) / 100);
  return {
    nights: 100, leverage: trade.leverage, died_unguarded: died, acted: Math.min(100, Math.round(acted * (0.4 + 0.6 * early))),
    saved, better_than_liquidation: better, worse_than_liquidation: died - better, source: '2018',
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
