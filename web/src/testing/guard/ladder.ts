/** A ladder walked along a falling price, enough for the fixture's longs: what happens when, and where it ends. */
import type { LadderEvent, LadderMark, LadderPreview, NightsCard, Rule, RuleBody, Step } from '@/api/schema';
import { liquidationPrice, pnlSats, priceAtRoom, topUpSats } from '../story/maths';
import { resultAt, type FixtureTrade } from '../story/plan';

const NO_LIMITS = { position_margins: null, account_sats: null, account_day_sats: 2_000_000, max_count: null, reserve_sats: 600_000 };
const WARN: Step = { key: 'warn', trigger: { kind: 'room_share', share: 0.6 }, action: { kind: 'notify' } };

function base(preset: RuleBody['preset'], steps: Step[], positionSats: number, count: number | null): RuleBody {
  return {
    preset, steps, limits: { ...NO_LIMITS, position_sats: positionSats, max_count: count }, stop_share: 0.12, rearm_share: 0.15, give_up_price: null,
    sources: ['balance'], shortage: 'partial', shortage_reduce: { share: 0.5, how: 'reopen' }, takes_back: false, allow_second_send: true, inherits: [],
  };
}

export function holdBody(topUpShare: number, marginSats: number): RuleBody {
  return base('hold', [WARN, { key: 'top_up', trigger: { kind: 'room_share', share: topUpShare }, action: { kind: 'top_up', refill_share: 1 } }], marginSats, 3);
}

export function presetBody(preset: RuleBody['preset'], trade: FixtureTrade): RuleBody {
  const share = trade.leverage >= 25 ? 0.5 : 0.35;
  if (preset === 'hold') return holdBody(share, trade.entryMargin);
  if (preset === 'hold_longer') return { ...holdBody(share, 2 * trade.entryMargin), preset, limits: { ...holdBody(share, 2 * trade.entryMargin).limits, max_count: 5 } };
  if (preset === 'cut') return base('cut', [WARN, { key: 'cut', trigger: { kind: 'room_share', share: 0.35 }, action: { kind: 'close' } }], 0, null);
  return base('watch', [WARN], 0, null);
}

/** The old shape of a rule, as the trade's guard still carries it. */
export function storyRule(body: RuleBody, id: { rule_id: string; version: number }): Rule {
  const shareOf = (kind: string): number | null => {
    const step = body.steps.find((each) => each.action.kind.startsWith(kind));
    return step?.trigger.kind === 'room_share' ? step.trigger.share : null;
  };
  const topUp = body.steps.find((each) => each.action.kind === 'top_up');
  return {
    ...id,
    preset: body.preset,
    warn_share: shareOf('notify'),
    top_up_share: shareOf('top_up'),
    refill_share: topUp?.action.kind === 'top_up' ? topUp.action.refill_share : null,
    position_limit_sats: body.limits.position_sats ?? 0,
    account_day_limit_sats: body.limits.account_day_sats,
    max_count: body.limits.max_count,
    reserve_sats: body.limits.reserve_sats,
    stop_share: body.stop_share,
    cut_share: shareOf('close'),
  };
}

interface Standing {
  margin: number;
  liquidation: number;
}

function markPrice(step: Step, trade: FixtureTrade, at: Standing): number | null {
  const { trigger } = step;
  if (trigger.kind === 'room_share') return priceAtRoom(at.liquidation, trigger.share * trade.fullRoom);
  if (trigger.kind === 'distance') return priceAtRoom(at.liquidation, trigger.distance);
  if (trigger.kind === 'price') return trigger.price;
  if (trigger.kind === 'consumed') return Math.round((trade.entry + (at.liquidation - trade.entry) * trigger.share) * 2) / 2;
  return null;
}

function wantedSats(step: Step, trade: FixtureTrade, at: Standing, price: number): number {
  const { action } = step;
  if (action.kind === 'top_up') return topUpSats(trade.quantity, trade.entry, at.margin, price, action.refill_share * trade.fullRoom);
  if (action.kind === 'top_up_to') return topUpSats(trade.quantity, trade.entry, at.margin, price, action.distance);
  if (action.kind === 'top_up_sats') return action.sats;
  if (action.kind === 'top_up_share') return Math.round(action.share * trade.entryMargin);
  return 0;
}

const KINDS: Record<string, LadderMark['kind']> = { notify: 'warn', reduce: 'reduce', close: 'close' };

function marksOf(trade: FixtureTrade, body: RuleBody, at: Standing): LadderMark[] {
  const marks = body.steps.flatMap((step): LadderMark[] => {
    const price = markPrice(step, trade, at);
    const share = step.trigger.kind === 'room_share' ? step.trigger.share : null;
    return price === null ? [] : [{ key: step.key, kind: KINDS[step.action.kind] ?? 'top_up', price, room_share: share }];
  });
  if (body.give_up_price !== null) marks.push({ key: 'give_up', kind: 'give_up', price: body.give_up_price, room_share: null });
  if (body.stop_share !== null) marks.push({ key: 'stop', kind: 'stop', price: stopPrice(trade, body, at) ?? 0, room_share: body.stop_share });
  return [...marks, { key: 'liquidation', kind: 'liquidation', price: at.liquidation, room_share: 0 }];
}

function stopPrice(trade: FixtureTrade, body: RuleBody, at: Standing): number | null {
  return body.stop_share === null ? null : priceAtRoom(at.liquidation, body.stop_share * trade.fullRoom);
}

export function ladderOf(trade: FixtureTrade, body: RuleBody, lastPrice: number): LadderPreview {
  const at: Standing = { margin: trade.margin, liquidation: trade.liquidation };
  const events: LadderEvent[] = [];
  let spent = trade.added;
  let count = trade.count;
  let ended: LadderEvent | null = null;
  const done = new Set<string>();
  while (ended === null && events.length < 24) {
    const due = body.steps
      .filter((step) => !done.has(step.key))
      .map((step) => ({ step, price: markPrice(step, trade, at) ?? 0 }))
      .sort((a, b) => b.price - a.price)[0];
    const stop = stopPrice(trade, body, at);
    const end = Math.max(stop ?? 0, at.liquidation, body.give_up_price ?? 0);
    if (!due || due.price <= end) {
      const what = end === body.give_up_price ? 'gave_up' : end === stop ? 'stopped' : 'liquidated';
      ended = { price: end, what, step: null, sats: 0, spent_sats: spent, liquidation_price: null, stop_price: null, returns_sats: what === 'liquidated' ? 0 : resultAt(trade, at.margin, end).returns, reason: null };
      events.push(ended);
      break;
    }
    const { step, price } = due;
    const common = { price, step: step.key, spent_sats: spent, liquidation_price: null, stop_price: null, returns_sats: null, reason: null };
    if (step.action.kind === 'notify') {
      done.add(step.key);
      events.push({ ...common, what: 'warned', sats: 0 });
    } else if (step.action.kind === 'close' || step.action.kind === 'reduce') {
      done.add(step.key);
      const returns = resultAt(trade, at.margin, price).returns;
      const event: LadderEvent = { ...common, what: step.action.kind === 'close' ? 'closed' : 'reduced', sats: returns, returns_sats: returns };
      if (event.what === 'closed') ended = event;
      events.push(event);
    } else {
      const left = Math.max(0, (body.limits.position_sats ?? 0) - spent);
      const sats = Math.min(left, wantedSats(step, trade, at, price));
      if (sats <= 0 || (body.limits.max_count !== null && count >= body.limits.max_count)) {
        done.add(step.key);
        events.push({ ...common, what: 'held', sats: 0, reason: left <= 0 ? 'limit_used' : 'count_used' });
        continue;
      }
      at.margin += sats;
      at.liquidation = liquidationPrice(trade.quantity, trade.entry, at.margin);
      spent += sats;
      count += 1;
      events.push({ ...common, what: 'topped_up', sats, spent_sats: spent, liquidation_price: at.liquidation, stop_price: stopPrice(trade, body, at) });
    }
  }
  const last = events.at(-1);
  const now: Standing = { margin: trade.margin, liquidation: trade.liquidation };
  const marks = marksOf(trade, body, now);
  const fires = marks.find((mark) => mark.kind !== 'stop' && mark.kind !== 'liquidation' && mark.kind !== 'warn' && lastPrice <= mark.price);
  const stopNow = stopPrice(trade, body, now);
  const limit = body.limits.position_sats ?? 0;
  return {
    marks,
    events,
    covered_to_price: last?.price ?? null,
    worst_case_sats: last ? (last.returns_sats ?? 0) - spent - trade.entryMargin : -spent - trade.entryMargin,
    unguarded_worst_case_sats: resultAt(trade, trade.entryMargin, 0.0001).loss,
    stop_returns_sats: stopNow === null ? null : resultAt(trade, trade.margin, stopNow).returns,
    expected_funding_sats_until_morning: Math.round((trade.quantity * 1e8 * 0.0001) / trade.entry),
    at_entry: { sats: limit, liquidation_price: liquidationPrice(trade.quantity, trade.entry, trade.entryMargin + limit) },
    conflicts: stopNow !== null && body.give_up_price !== null && body.give_up_price > (marks.find((mark) => mark.kind === 'top_up')?.price ?? Infinity)
      ? [{ kind: 'give_up_before_step', steps: ['top_up'], path: [{ price: lastPrice, what: 'save', step: null }, { price: body.give_up_price, what: 'give_up', step: null }, { price: marks.find((mark) => mark.kind === 'top_up')?.price ?? 0, what: 'mark', step: 'top_up' }], trade_id: null }]
      : [],
    fires_now_price: fires?.price ?? null,
    nights: body.preset === 'watch' ? null : nightsOf(trade, body),
  };
}

/** The 2018 table's figures for Hold, bent a little by the limit so that a drag visibly changes them. */
export function nightsOf(trade: Pick<FixtureTrade, 'leverage' | 'entryMargin'>, body: RuleBody): NightsCard {
  const table = { 10: [2, 5, 96, 66], 25: [15, 34, 75, 48], 50: [35, 58, 53, 40] } as const;
  const [died, acted, savedShare, betterShare] = table[trade.leverage as 10 | 25 | 50];
  const budget = Math.min(1.3, (body.limits.position_sats ?? 0) / trade.entryMargin);
  const better = Math.round((died * betterShare) / 100);
  return {
    preset: body.preset, leverage: trade.leverage, nights: 100, died_unguarded: died, acted,
    saved: Math.min(died, Math.round((died * savedShare * Math.sqrt(budget)) / 100)), better_than_liquidation: better, worse_than_liquidation: died - better,
    closed_that_would_have_lived: null, mean_sats_added_share: 0.24, when_acting_share: 0.71, mean_result_change_share: -0.004,
    against: [
      { name: 'plain_stop', saved: null, closed: 27, would_have_lived: 12, mean_result_share: -0.05, worst_share: -0.72 },
      { name: 'limit_at_entry', saved: Math.round(died * 0.79), closed: null, would_have_lived: null, mean_result_share: -0.05, worst_share: -2.05 },
    ],
    source: '2018 Bitfinex minutes, 10-hour nights', raises_mean: false,
  };
}

/** The P&L of a long at a price, for reports. */
export function valueAt(trade: FixtureTrade, margin: number, price: number): number {
  return Math.max(0, margin + pnlSats(trade.quantity, trade.entry, price));
}
