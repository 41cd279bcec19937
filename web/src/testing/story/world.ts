/** A small world for development and tests: two accounts, three trades each, one guarded, replayed through a crash. */
import type { Account, Activity, Candle, Decision, Demo, Price, Rule, RuleBody, Trade, Watch } from '@/api/schema';
import { guardStep } from './guard';
import { holdBody, storyRule } from '../guard/ladder';
import { planOf, type FixtureTrade } from './plan';
import { STORY_S, priceAt } from './path';
import { feeSats, liquidationPrice, pnlSats, quantityUsd, room } from './maths';

export const GUARDED = '0192aaaa-0000-7000-8000-000000000001';
export const UNGUARDED = '0192aaaa-0000-7000-8000-000000000002';
const ENTRY = 62_000;
const STORY: readonly { label: string; leverage: number; margin: number; topUp: number }[] = [
  { label: '25x long', leverage: 25, margin: 400_000, topUp: 0.5 },
  { label: '50x long', leverage: 50, margin: 290_000, topUp: 0.5 },
  { label: '10x long', leverage: 10, margin: 500_000, topUp: 0.35 },
];

export class World {
  seconds = -2;
  runNo = 1;
  speed = 1;
  scenario: 'crash' | 'bleed' = 'crash';
  status: Demo['status'] = 'running';
  startedAt: number;
  plugPulledFor = 0;
  unwatchedFor = 0;
  isSpendingStopped = new Set<string>();
  trades: FixtureTrade[] = [];
  activity: Activity[] = [];
  decisions = new Map<string, Decision>();
  candles: Candle[] = [];
  onActivity: (item: Activity) => void = () => undefined;
  private serial = 0;

  constructor(now: number) {
    this.startedAt = now + 2_000;
    this.begin(now);
  }

  begin(now: number): void {
    this.seconds = -2;
    this.startedAt = now + 2_000;
    this.status = 'running';
    this.trades = [];
    this.activity = [];
    this.candles = [];
    this.isSpendingStopped.clear();
    this.plugPulledFor = 0;
    this.unwatchedFor = 0;
    for (let s = -90; s < -2; s += 1) this.addCandle(s);
    STORY.forEach((each, index) => {
      const quantity = quantityUsd(each.margin, ENTRY, each.leverage);
      const liquidation = liquidationPrice(quantity, ENTRY, each.margin);
      const base = {
        label: each.label,
        leverage: each.leverage,
        quantity,
        entry: ENTRY,
        entryMargin: each.margin,
        margin: each.margin,
        initialLiquidation: liquidation,
        liquidation,
        fullRoom: room(ENTRY, liquidation),
        closed: null,
        added: 0,
        count: 0,
        isWarned: false,
      };
      const body = holdBody(each.topUp, each.margin);
      const rule: Rule = storyRule(body, { rule_id: `rule-${this.runNo}-${index}`, version: 1 });
      const id = (side: string): string => `${side}-${this.runNo}-${index}`;
      this.trades.push({ ...base, id: id('g'), account: GUARDED, twin: id('u'), rule, body, stop: 0 });
      this.trades.push({ ...base, id: id('u'), account: UNGUARDED, twin: id('g'), rule: null, body: null, stop: null });
    });
    for (const trade of this.trades) if (trade.rule) trade.stop = planOf(trade).stop;
    for (const trade of this.trades.filter((each) => each.rule)) {
      this.tell(trade, 'info', 'trade_seen', {
        label: trade.label, side: 'long', leverage: trade.leverage, entry_price: trade.entry,
        margin_sats: trade.entryMargin, preset: 'hold',
      });
    }
  }

  get price(): number {
    return priceAt(this.seconds, this.scenario);
  }

  /** Moves the story on by `wallS` seconds of wall time, evaluating every point on the way. */
  advance(wallS: number): void {
    if (this.plugPulledFor > 0) this.plug(wallS);
    if (this.status !== 'running') return;
    const target = this.seconds + wallS * this.speed;
    while (this.seconds + 0.2 <= target + 1e-9) {
      this.seconds = Math.round((this.seconds + 0.2) * 10) / 10;
      this.addCandle(Math.floor(this.seconds));
      for (const trade of this.trades) guardStep(this, trade);
      if (this.seconds >= STORY_S) {
        this.status = 'ended';
        return;
      }
    }
  }

  private plug(wallS: number): void {
    this.plugPulledFor -= wallS;
    this.unwatchedFor += wallS;
    if (this.unwatchedFor - wallS < 3 && this.unwatchedFor >= 3) {
      this.tell(null, 'danger', 'watch_lost', { since: this.iso(this.seconds - 3) });
    }
    if (this.plugPulledFor <= 0) {
      this.tell(null, 'info', 'watch_back', { gap_s: Math.round(this.unwatchedFor * 10) / 10 });
      this.plugPulledFor = 0;
      this.unwatchedFor = 0;
    }
  }

  tell(trade: FixtureTrade | null, severity: Activity['severity'], kind: string, data: Activity['data'], decision?: Decision): void {
    this.serial += 1;
    if (decision) this.decisions.set(decision.decision_id, decision);
    const item: Activity = {
      activity_id: `a-${this.runNo}-${String(this.serial).padStart(6, '0')}`,
      at: this.iso(this.seconds + this.serial / 1000),
      exchange_account_id: trade?.account ?? GUARDED,
      trade_id: trade?.id ?? null,
      severity,
      kind,
      data,
      decision_id: decision?.decision_id ?? null,
    };
    this.activity.unshift(item);
    this.onActivity(item);
  }

  iso(seconds: number): string {
    return new Date(this.startedAt + seconds * 1000).toISOString();
  }

  private addCandle(second: number): void {
    const points = [0, 0.2, 0.4, 0.6, 0.8].map((part) => priceAt(second + part, this.scenario));
    const seen = points.filter((_, index) => second + index / 5 <= this.seconds + 1e-9 || second < this.seconds - 1);
    const used = second < -2 ? points : seen.length > 0 ? seen : points.slice(0, 1);
    const at = this.iso(second).replace(/\.\d{3}Z$/, '.000Z');
    const bar = { at, open: used[0] ?? 0, high: Math.max(...used), low: Math.min(...used), close: used.at(-1) ?? 0 };
    if (this.candles.at(-1)?.at === at) this.candles[this.candles.length - 1] = bar;
    else this.candles.push(bar);
  }

  watch(account: string): Watch {
    const since = this.iso(-60);
    if (account !== GUARDED || this.unwatchedFor < 3) {
      return { state: 'watched', since, last_seen_age_s: 0.2, reasons: [] };
    }
    return {
      state: 'unwatched',
      since: this.iso(this.seconds - this.unwatchedFor),
      last_seen_age_s: this.unwatchedFor,
      reasons: ['monitor_silent'],
    };
  }

  marketPrice(now: number): Price {
    return {
      last_price: this.price, bid_price: this.price - 0.5, ask_price: this.price + 0.5, index_price: this.price + 2,
      funding_rate: 0.0001, funding_at: new Date(Math.ceil(now / 28_800_000) * 28_800_000).toISOString(),
      price_at: new Date(now).toISOString(), age_s: 0.05,
    };
  }

  account(id: string): Account {
    const own = this.trades.filter((trade) => trade.account === id);
    const isGuarded = id === GUARDED;
    return {
      exchange_account_id: id,
      name: isGuarded ? 'Guarded (demo)' : 'Unguarded (demo)',
      network: 'paper',
      is_guarded: isGuarded,
      compares_with: isGuarded ? UNGUARDED : GUARDED,
      balance_sats: 3_000_000 - own.reduce((sum, trade) => sum + trade.added, 0),
      balance_age_s: 1.2,
      limits: isGuarded ? { position_sats: 400_000, account_day_sats: 2_000_000, reserve_sats: 600_000 } : null,
      spent_24h_sats: own.reduce((sum, trade) => sum + trade.added, 0),
      watch: this.watch(id),
      is_spending_stopped: this.isSpendingStopped.has('all') || this.isSpendingStopped.has(id),
      coverage: null,
    };
  }

  tradesOf(account: string): Trade[] {
    return this.trades.filter((trade) => trade.account === account).map((trade) => this.wire(trade));
  }

  value(trade: FixtureTrade): number {
    const price = trade.closed?.price ?? this.price;
    if (trade.closed?.reason === 'liquidation') return 0;
    const reserve = feeSats(trade.quantity, trade.initialLiquidation);
    return Math.max(0, trade.margin + reserve + pnlSats(trade.quantity, trade.entry, price) - feeSats(trade.quantity, price));
  }

  cost(trade: FixtureTrade): number {
    return trade.entryMargin + feeSats(trade.quantity, trade.entry) + feeSats(trade.quantity, trade.initialLiquidation);
  }

  stoppedFor(trade: FixtureTrade): boolean {
    return ['all', trade.account, trade.id].some((scope) => this.isSpendingStopped.has(scope));
  }

  wire(trade: FixtureTrade): Trade {
    const { closed } = trade;
    const price = closed?.price ?? this.price;
    const plan = planOf(trade);
    const twin = this.trades.find((each) => each.id === trade.twin);
    const now = closed ? null : room(this.price, trade.liquidation);
    return {
      exchange_account_id: trade.account, trade_id: trade.id, label: trade.label, side: 'long',
      status: closed ? 'closed' : 'running', quantity_usd: trade.quantity,
      leverage: (trade.quantity * 1e8) / trade.margin / trade.entry, entry_leverage: trade.leverage,
      entry_price: trade.entry, exit_price: closed?.price ?? null, last_price: this.price,
      liquidation_price: trade.liquidation, initial_liquidation_price: trade.initialLiquidation,
      stop_loss_price: trade.stop, stop_owner: trade.stop === null ? null : 'axisor', take_profit_price: null,
      margin_sats: trade.margin, entry_margin_sats: trade.entryMargin, added_sats: trade.added,
      pnl_sats: pnlSats(trade.quantity, trade.entry, price), opening_fee_sats: feeSats(trade.quantity, trade.entry),
      closing_fee_sats: closed ? feeSats(trade.quantity, price) : 0, funding_fees_sats: 0,
      value_sats: this.value(trade), result_sats: this.value(trade) - this.cost(trade) - trade.added,
      room: now, full_room: trade.fullRoom, room_share: now === null ? null : now / trade.fullRoom,
      close_reason: closed?.reason ?? null, closed_at: closed ? this.iso(closed.at) : null, opened_at: this.iso(-3600),
      guard: trade.rule ? plan.guard(this.stoppedFor(trade), this.unwatchedFor >= 3 && trade.account === GUARDED) : null,
      age_s: 0.4, facts_source: 'stream', twin_trade_id: trade.rule ? trade.twin : null,
      kept_sats: trade.rule && twin ? this.value(trade) - trade.added - this.value(twin) : null,
      coverage: null,
    };
  }

  demo(): Demo {
    return {
      run_no: this.runNo, scenario: this.scenario,
      scenarios: [
        { name: 'crash', story: 'A fast fall and a rebound.' },
        { name: 'bleed', story: 'A slow fall that does not come back: the guard costs money here.' },
      ],
      seed: 7, speed: this.speed, status: this.status, market_s: Math.max(0, this.seconds),
      guarded_account_id: GUARDED, unguarded_account_id: UNGUARDED, story_started_at: this.iso(0),
      plug: {
        is_pulled: this.plugPulledFor > 0,
        since: this.plugPulledFor > 0 ? this.iso(this.seconds) : null,
        seconds_left: this.plugPulledFor > 0 ? this.plugPulledFor : null,
      },
    };
  }

  changeRule(trade: FixtureTrade, body: RuleBody): Rule {
    const rule = storyRule(body, { rule_id: trade.rule?.rule_id ?? `rule-${trade.id}`, version: (trade.rule?.version ?? 0) + 1 });
    trade.body = body;
    trade.rule = rule;
    trade.stop = planOf(trade).stop;
    this.tell(trade, 'info', 'rule_changed', { label: trade.label });
    return rule;
  }
}
