/** The fixture's coverage meter: green where all is well, amber for the 50x trade's low balance, red while unwatched. */
import type { Coverage, CoverageOverview } from '@/api/schema';
import type { FixtureTrade } from '../story/plan';
import { GUARDED, type World } from '../story/world';
import { ladderOf } from './ladder';

const ORDER: Coverage['state'][] = ['green', 'off', 'amber', 'unknown', 'red'];

export function coverageOf(world: World, trade: FixtureTrade): Coverage {
  const { body } = trade;
  const at = world.iso(world.seconds);
  const empty: Coverage = {
    state: 'off', reasons: [{ code: 'no_rule', data: {} }], as_of: at, age_s: 0.4, protected_to_price: null, uses_sats: null, worst_case_sats: null,
    returns_if_lost_sats: null, shortfall_sats: 0, fund_address_hint: null, layers: { guard: false, stop: false, alarm: true },
  };
  if (!body) return empty;
  const ladder = ladderOf(trade, body, world.price);
  const isUnwatched = world.unwatchedFor >= 3;
  const isStopped = world.stoppedFor(trade);
  const reasons: Coverage['reasons'] = [];
  if (isUnwatched) reasons.push({ code: 'monitor_silent', data: { since: at } });
  if (isStopped) reasons.push({ code: 'spending_stopped', data: {} });
  const shortfall = trade.leverage === 50 && !isUnwatched ? 96_500 : 0;
  if (shortfall > 0) reasons.push({ code: 'low_balance', data: { shortfall_sats: shortfall } });
  return {
    ...empty,
    state: isUnwatched ? 'red' : isStopped || shortfall > 0 ? 'amber' : 'green',
    reasons,
    protected_to_price: isUnwatched || isStopped ? trade.stop : ladder.covered_to_price,
    uses_sats: isUnwatched || isStopped ? 0 : Math.max(0, (body.limits.position_sats ?? 0) - trade.added),
    worst_case_sats: ladder.worst_case_sats,
    returns_if_lost_sats: ladder.stop_returns_sats,
    shortfall_sats: shortfall,
    layers: { guard: !isUnwatched && !isStopped, stop: trade.stop !== null, alarm: true },
  };
}

function together(parts: readonly Coverage[], reasons: Coverage['reasons']): Coverage {
  const sum = (pick: (part: Coverage) => number | null): number => parts.reduce((total, part) => total + (pick(part) ?? 0), 0);
  const state = parts.reduce<Coverage['state']>((worst, part) => (ORDER.indexOf(part.state) > ORDER.indexOf(worst) ? part.state : worst), 'green');
  return {
    state, reasons, as_of: parts[0]?.as_of ?? null, age_s: 0.4, protected_to_price: null, uses_sats: sum((part) => part.uses_sats),
    worst_case_sats: sum((part) => part.worst_case_sats), returns_if_lost_sats: sum((part) => part.returns_if_lost_sats),
    shortfall_sats: sum((part) => part.shortfall_sats), fund_address_hint: null,
    layers: { guard: parts.every((part) => part.layers.guard), stop: parts.every((part) => part.layers.stop), alarm: true },
  };
}

export function crossCoverage(world: World): Coverage {
  return {
    state: 'amber', reasons: [{ code: 'cross_has_no_stop', data: {} }], as_of: world.iso(world.seconds), age_s: 1.2, protected_to_price: 55_140.5, uses_sats: 300_000,
    worst_case_sats: -612_000, returns_if_lost_sats: 0, shortfall_sats: 0, fund_address_hint: null, layers: { guard: true, stop: false, alarm: true },
  };
}

export function overviewOf(world: World): CoverageOverview {
  const trades = world.trades.filter((trade) => trade.account === GUARDED && !trade.closed);
  const parts = trades.map((trade) => ({ trade_id: trade.id, label: trade.label, coverage: coverageOf(world, trade) }));
  const cross = crossCoverage(world);
  const reasons = parts.flatMap((part) => part.coverage.reasons).slice(0, 2);
  const all = together([...parts.map((part) => part.coverage), cross], reasons);
  return { user: all, accounts: [{ exchange_account_id: GUARDED, name: 'Guarded (demo)', coverage: all, cross, trades: parts }] };
}
