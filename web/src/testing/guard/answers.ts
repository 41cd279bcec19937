/** The fixture's answers about the guard, in the shapes of the contract. */
import type { Drill, Fund, RescueReport, RuleBody, RuleDocument, RuleView, WhyEntry, WhyNot } from '@/api/schema';
import type { Answer } from '../server/routes';
import type { FixtureTrade } from '../story/plan';
import { GUARDED, type World } from '../story/world';
import { crossCoverage, overviewOf } from './coverage';
import { ladderOf, nightsOf, presetBody, valueAt } from './ladder';

export interface GuardQuestion {
  world: World;
  method: string;
  path: string;
  search: URLSearchParams;
  body: unknown;
}

const ok = (body: unknown): Answer => ({ status: 200, body });
const problem = (status: number, code: string, detail: string, extra: object = {}): Answer => ({
  status,
  body: { type: 'about:blank', title: code, status, detail, code, ...extra },
});

const funds = new Map<string, { amount: number; since: number }>();
const drills = new Map<string, Drill>();
const newTrades = { preset: 'watch' as RuleBody['preset'], is_chosen: false, version: 0 };
const unguarded = new Set<string>();

function documentOf(body: RuleBody, scope: RuleDocument['scope'], version: number): RuleDocument {
  return { ...body, rule_id: `rule-${scope}`, version, scope };
}

function ruleView(trade: FixtureTrade): RuleView {
  const own = trade.body ? documentOf(trade.body, 'trade', trade.rule?.version ?? 1) : null;
  const inherited = documentOf(presetBody('watch', trade), 'account', 1);
  return {
    own,
    inherited,
    effective: own ?? inherited,
    is_guarded: !unguarded.has(trade.id),
    presets: (['watch', 'hold', 'hold_longer', 'cut'] as const).map((preset) => ({ preset, is_offered: true, reason: null, rule: presetBody(preset, trade) })),
  };
}

export function whyNotOf(world: World, trade: FixtureTrade): WhyNot {
  const ladder = trade.body ? ladderOf(trade, trade.body, world.price) : null;
  const left = (trade.body?.limits.position_sats ?? 0) - trade.added;
  return {
    at: world.iso(world.seconds),
    price: world.price,
    steps: (trade.body?.steps ?? []).map((step) => {
      const mark = ladder?.marks.find((each) => each.key === step.key)?.price ?? null;
      const blocks: WhyNot['steps'][number]['blocks'] = [];
      if (step.key === 'top_up' && left <= 0) blocks.push({ code: 'limit_used', data: {} });
      if (step.key === 'top_up' && world.stoppedFor(trade)) blocks.push({ code: 'spending_stopped', data: {} });
      return {
        key: step.key, mark_price: mark, ready: !(step.key === 'warn' && trade.isWarned), is_due: mark !== null && world.price <= mark,
        away_share: mark === null ? null : (world.price - mark) / world.price, blocks,
      };
    }),
    next: { code: 'price', data: { price: ladder?.marks.find((mark) => mark.kind === 'top_up')?.price ?? null } },
  };
}

/** What the ledger calls what the activity list tells. */
const CODES: Record<string, string> = { rescue_confirmed: 'add_margin', room_warned: 'warn' };

function whyOf(world: World, trade: FixtureTrade): WhyEntry[] {
  return world.activity
    .filter((item) => item.trade_id === trade.id && ['rescue_confirmed', 'room_warned', 'stop_set', 'limit_used'].includes(item.kind))
    .map((item) => ({
      decision_id: item.decision_id ?? item.activity_id, at: item.at, kind: item.kind === 'limit_used' ? 'held' : 'did',
      sentence: { code: CODES[item.kind] ?? item.kind, data: item.data }, rule_version: trade.rule?.version ?? 1, code_version: '0.1.0', sealed: item.decision_id !== null,
    }));
}

function rescuesOf(world: World, trade: FixtureTrade): RescueReport[] {
  const twin = world.trades.find((each) => each.id === trade.twin);
  const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0);
  return world.activity
    .filter((item) => item.trade_id === trade.id && item.kind === 'rescue_confirmed')
    .map((item) => {
      const withValue = valueAt(trade, trade.margin, world.price);
      const without = twin && !twin.closed ? valueAt(twin, twin.margin, world.price) : 0;
      return {
        decision_id: item.decision_id ?? '', at: item.at, amount_sats: numberOf(item.data.amount_sats), price: numberOf(item.data.price),
        old_liquidation_price: numberOf(item.data.old_liquidation_price), new_liquidation_price: numberOf(item.data.new_liquidation_price),
        then: { at: item.at, kept_sats: withValue - trade.added - without, with_value_sats: withValue, without_value_sats: without, would_have_died: twin?.closed?.reason === 'liquidation', added_sats: trade.added, note: null },
        after_24h: null, after_24h_at: new Date(Date.parse(item.at) + 86_400_000).toISOString(),
      };
    });
}

function startDrill(trade: FixtureTrade): Drill {
  const steps = ['add_margin', 'verify', 'move_stop', 'move_stop_back'].map((name, index) => ({
    name, method: name === 'verify' ? 'GET' : 'POST', target: `/v3/futures/isolated/trade${name === 'add_margin' ? '/add-margin' : ''}`,
    sent_at: new Date().toISOString(), answered_at: new Date().toISOString(), ms: 24 + index * 9, answer_status: 200, detail: null, ok: true,
  }));
  const drill: Drill = { drill_id: `drill-${trade.id}`, status: 'passed', started_at: new Date().toISOString(), steps, valid_until: new Date(Date.now() + 7 * 86_400_000).toISOString() };
  drills.set(trade.id, drill);
  trade.margin += 1;
  return drill;
}

function checkOf(trade: FixtureTrade): unknown {
  const row = (field: string, value: number, unit: string): unknown => ({ field, ours: value, theirs: value, difference: 0, unit, age_s: 0.3 });
  return { at: new Date().toISOString(), agrees: true, rows: [row('margin_sats', trade.margin, 'sats'), row('liquidation_price', trade.liquidation, 'usd_per_btc'), row('stop_loss_price', trade.stop ?? 0, 'usd_per_btc')] };
}

function tradeAnswer(question: GuardQuestion, trade: FixtureTrade, rest: string): Answer | undefined {
  const { world, method, body } = question;
  const route = `${method} ${rest}`;
  if (route === 'GET guard/rule') return ok(ruleView(trade));
  if (route === 'DELETE guard/rule') return ok({});
  if (route === 'PUT guard/rule') {
    const { rule, version, accepts_conflicts: accepts } = body as { rule: RuleBody; version: number; accepts_conflicts?: boolean };
    if ((trade.rule?.version ?? 0) !== version) return problem(409, 'stale_version', 'The rule was changed meanwhile.');
    const ladder = ladderOf(trade, rule, world.price);
    if (ladder.fires_now_price !== null) return problem(422, 'fires_now', 'It would act at once.', { context: { mark_price: ladder.fires_now_price, last_price: world.price } });
    if (ladder.conflicts.length > 0 && accepts !== true) return problem(409, 'rule_conflicts', 'The rule contradicts itself.', { context: { conflicts: ladder.conflicts } });
    return ok(documentOf(rule, 'trade', world.changeRule(trade, rule).version));
  }
  if (route === 'POST guard/rule/preview') return ok(ladderOf(trade, (body as { rule: RuleBody }).rule, world.price));
  if (route === 'PUT guard') {
    const { is_guarded: isGuarded } = body as { is_guarded: boolean };
    if (isGuarded) unguarded.delete(trade.id);
    else unguarded.add(trade.id);
    return ok({ is_guarded: isGuarded });
  }
  if (route === 'GET why') return ok({ items: whyOf(world, trade), next_cursor: null });
  if (route === 'GET why-not') return ok(whyNotOf(world, trade));
  if (route === 'GET rescues') return ok({ items: rescuesOf(world, trade) });
  if (route === 'GET drill') return ok(drills.get(trade.id) ?? null);
  if (route === 'POST drill') return ok(startDrill(trade));
  if (route === 'POST check') return ok(checkOf(trade));
  if (route === 'GET take-back') {
    return ok({ amount_sats: trade.added, returnable_sats: trade.added, from_profit_sats: 0, from_margin_sats: trade.added, realizes_profit: false, liquidation_price: trade.initialLiquidation, room_share: 1, safety_stop_price: trade.stop, held_by: null, held_until: null });
  }
  return undefined;
}

function accountAnswer({ world, method, body }: GuardQuestion, id: string, rest: string): Answer | undefined {
  const route = `${method} ${rest}`;
  const any = world.trades[0];
  if (!any) return undefined;
  if (route === 'GET guard/rule') {
    const watch = documentOf(presetBody('watch', any), 'account', 1);
    return ok({ own: null, inherited: { ...watch, scope: 'user' }, effective: { ...watch, scope: 'user' }, new_trades: newTrades });
  }
  if (route === 'PUT guard/rule') return ok(documentOf((body as { rule: RuleBody }).rule, 'account', 1));
  if (route === 'PUT guard/new-trades') return ok(Object.assign(newTrades, { preset: (body as { preset: RuleBody['preset'] }).preset, is_chosen: true }));
  if (route === 'GET cross') {
    const position = {
      side: 'long', quantity_usd: 4_000, entry_price: 61_800, liquidation_price: 56_120.5, margin_sats: 712_000, leverage: 9.1, pnl_sats: -18_200, funding_sats: 410, age_s: 2.1,
      coverage: crossCoverage(world), marks: [{ key: 'warn', kind: 'warn', price: 58_900, room_share: 0.6 }, { key: 'top_up', kind: 'top_up', price: 58_100, room_share: 0.35 }], rule: null,
    };
    return ok({ position: id === GUARDED ? position : null });
  }
  if (route === 'POST fund') {
    const requestId = `fund-${funds.size + 1}`;
    funds.set(requestId, { amount: (body as { amount_sats: number }).amount_sats, since: Date.now() });
    return ok({ request_id: requestId, command: 'fund', status: 'requested', detail: null, created_at: new Date().toISOString(), settled_at: null });
  }
  const asked = /^GET fund\/(.+)$/.exec(route)?.[1];
  const fund = asked === undefined ? undefined : funds.get(asked);
  if (asked === undefined || !fund) return undefined;
  const age = Date.now() - fund.since;
  const status: Fund['status'] = age < 1_000 ? 'requested' : age < 20_000 ? 'waiting' : 'paid';
  const invoice = 'lnbc965u1pjqqqqqpp5axisorfixture0qypqxpq9qcrsszg2pvxq6rs0zqg3yyc5z5tpwxqergd3c8g7rusq9qypqsqfixtureinvoicefixtureinvoicefixtureinvoice';
  return ok({ request_id: asked, status, payment_request: status === 'requested' ? null : invoice, amount_sats: fund.amount, expires_at: new Date(fund.since + 600_000).toISOString() });
}

/** Answers a request about the guard, or undefined where it is about something else. */
export function guardAnswer(question: GuardQuestion): Answer | undefined {
  const { world, method, path, search } = question;
  if (path === '/guard/coverage') return ok(overviewOf(world));
  if (path === '/guard/nights') {
    const leverage = Number(search.get('leverage'));
    const trade = world.trades.find((each) => each.leverage === leverage) ?? world.trades[0];
    return trade ? ok(nightsOf(trade, presetBody('hold', trade))) : undefined;
  }
  if (path === '/guard/rule') return ok(method === 'GET' ? { own: null } : documentOf((question.body as { rule: RuleBody }).rule, 'user', 1));
  const ofTrade = /^\/accounts\/([^/]+)\/trades\/([^/]+)\/(.+)$/.exec(path);
  const trade = world.trades.find((each) => each.account === ofTrade?.[1] && each.id === ofTrade[2]);
  if (ofTrade && trade) return tradeAnswer(question, trade, ofTrade[3] ?? '');
  const ofAccount = /^\/accounts\/([^/]+)\/(.+)$/.exec(path);
  return ofAccount ? accountAnswer(question, ofAccount[1] ?? '', ofAccount[2] ?? '') : undefined;
}
