/** Shapes of the API's answers, version 1. Prices in USD per BTC, amounts in sats, shares as 0..1, times ISO-8601 UTC. */
import { z } from 'zod';

const sats = z.number().int();
const price = z.number();
const share = z.number();
const at = z.iso.datetime({ offset: true });

export const User = z.object({
  user_id: z.string(),
  email: z.string().nullable(),
  display_name: z.string(),
  role: z.string(),
  locale: z.string(),
  is_demo: z.boolean(),
});
export const Session = z.object({ access_token: z.string(), expires_at: at, user: User });
export const StreamTicket = z.object({ ticket: z.string(), expires_at: at });

export const Network = z.enum(['paper', 'signet', 'mainnet']);
export const Instance = z.object({
  version: z.string(),
  mode: z.enum(['demo', 'live']),
  network: Network,
  locales: z.array(z.string()),
});

export const Demo = z.object({
  run_no: z.number().int(),
  scenario: z.string(),
  scenarios: z.array(z.object({ name: z.string(), story: z.string() })),
  seed: z.union([z.number(), z.string()]).nullable(),
  speed: z.number(),
  status: z.enum(['preparing', 'waiting', 'running', 'paused', 'ended']),
  market_s: z.number(),
  guarded_account_id: z.string().nullable(),
  unguarded_account_id: z.string().nullable(),
  story_started_at: at.nullable(),
  plug: z.object({ is_pulled: z.boolean(), since: at.nullable(), seconds_left: z.number().nullable() }),
});

export const WatchReason = z.string();
export const Watch = z.object({
  state: z.enum(['watched', 'unwatched', 'degraded', 'unknown']),
  since: at.nullable(),
  last_seen_age_s: z.number().nullable(),
  reasons: z.array(WatchReason),
});

export const Account = z.object({
  exchange_account_id: z.string(),
  name: z.string(),
  network: Network,
  is_guarded: z.boolean(),
  compares_with: z.string().nullable(),
  balance_sats: sats.nullable(),
  balance_age_s: z.number().nullable(),
  limits: z
    .object({ position_sats: sats.nullable(), account_day_sats: sats.nullable(), reserve_sats: sats.nullable() })
    .nullable(),
  spent_24h_sats: sats,
  watch: Watch,
  is_spending_stopped: z.boolean(),
});

export const Rule = z.object({
  rule_id: z.string(),
  version: z.number().int(),
  preset: z.enum(['watch', 'hold', 'hold_longer', 'cut', 'custom']),
  warn_share: share.nullable(),
  top_up_share: share.nullable(),
  refill_share: share.nullable(),
  position_limit_sats: sats,
  account_day_limit_sats: sats.nullable(),
  max_count: z.number().int().nullable(),
  reserve_sats: sats,
  stop_share: share.nullable(),
  cut_share: share.nullable(),
});

export const GuardState = z.enum([
  'calm',
  'warned',
  'acting',
  'unknown_outcome',
  'limit_used',
  'spending_stopped',
  'unwatched',
  'closed',
]);
export const Guard = z.object({
  rule: Rule.nullable(),
  warn_price: price.nullable(),
  top_up_price: price.nullable(),
  safety_stop_price: price.nullable(),
  give_up_price: price.nullable(),
  next_top_up_sats: sats.nullable(),
  spent_sats: sats,
  limit_sats: sats,
  left_sats: sats,
  count_left: z.number().int().nullable(),
  worst_case_sats: sats.nullable(),
  unguarded_worst_case_sats: sats.nullable(),
  stop_returns_sats: sats.nullable(),
  covered_to_price: price.nullable(),
  state: GuardState,
  is_spending_stopped: z.boolean(),
});

export const Trade = z.object({
  exchange_account_id: z.string(),
  trade_id: z.string(),
  label: z.string().nullable(),
  side: z.enum(['long', 'short']),
  status: z.enum(['open', 'running', 'closed', 'canceled']),
  quantity_usd: z.number().int(),
  leverage: z.number(),
  entry_leverage: z.number(),
  entry_price: price,
  exit_price: price.nullable(),
  last_price: price.nullable(),
  liquidation_price: price,
  initial_liquidation_price: price.nullable(),
  stop_loss_price: price.nullable(),
  stop_owner: z.enum(['axisor', 'user']).nullable(),
  take_profit_price: price.nullable(),
  margin_sats: sats,
  entry_margin_sats: sats,
  added_sats: sats,
  pnl_sats: sats.nullable(),
  opening_fee_sats: sats,
  closing_fee_sats: sats,
  funding_fees_sats: sats,
  value_sats: sats.nullable(),
  result_sats: sats.nullable(),
  room: share.nullable(),
  full_room: share.nullable(),
  room_share: share.nullable(),
  close_reason: z.enum(['user', 'stop_loss', 'take_profit', 'liquidation', 'unknown']).nullable(),
  closed_at: at.nullable(),
  opened_at: at.nullable(),
  guard: Guard.nullable(),
  age_s: z.number().nullable(),
  facts_source: z.string().nullable(),
  twin_trade_id: z.string().nullable(),
  kept_sats: sats.nullable(),
});

export const Nights = z.object({
  nights: z.number().int(),
  leverage: z.number(),
  died_unguarded: z.number(),
  acted: z.number(),
  saved: z.number(),
  better_than_liquidation: z.number(),
  worse_than_liquidation: z.number(),
  source: z.string(),
});
export const Preview = z.object({
  warn_price: price.nullable(),
  top_up_price: price.nullable(),
  first_top_up_sats: sats.nullable(),
  liquidation_after_price: price.nullable(),
  steps: z.array(z.object({ price, sats, liquidation_price: price })),
  covered_to_price: price.nullable(),
  safety_stop_price: price.nullable(),
  stop_returns_sats: sats.nullable(),
  worst_case_sats: sats.nullable(),
  unguarded_worst_case_sats: sats.nullable(),
  nights: Nights.nullable(),
});
export const RuleChange = z.object({
  top_up_share: share.nullable(),
  refill_share: share.nullable(),
  position_limit_sats: sats,
  max_count: z.number().int().nullable(),
  stop_share: share.nullable(),
  warn_share: share.nullable(),
  version: z.number().int(),
});

export const Request = z.object({
  request_id: z.string(),
  command: z.string(),
  status: z.enum(['requested', 'sent', 'confirmed', 'refused', 'not_applied', 'unknown', 'expired']),
  detail: z.string().nullable(),
  created_at: at,
  settled_at: at.nullable(),
});
const scope = z.object({ exchange_account_id: z.string(), trade_id: z.string().nullable() });
export const SpendingAnswer = z.object({
  stopped: z.array(scope),
  already_sent: z.array(z.object({ trade_id: z.string(), amount_sats: sats, sent_at: at })),
});

export const ResumedAnswer = z.object({ resumed: z.array(scope), still_stopped: z.array(scope) });

export const Activity = z.object({
  activity_id: z.string(),
  at,
  exchange_account_id: z.string().nullable(),
  trade_id: z.string().nullable(),
  severity: z.enum(['info', 'deed', 'caution', 'danger']),
  kind: z.string(),
  data: z.record(z.string(), z.unknown()),
  decision_id: z.string().nullable(),
});

export const Attempt = z.object({
  attempt_no: z.number().int(),
  state: z.string(),
  amount_sats: sats.nullable(),
  tag: z.number().nullable(),
  signed_at: at.nullable(),
  sent_at: at.nullable(),
  answered_at: at.nullable(),
  settled_at: at.nullable(),
  outcome: z.string().nullable(),
  request: z.object({ method: z.string(), path: z.string(), body: z.unknown() }).nullable(),
  answer: z.object({ status: z.number().nullable(), body_excerpt: z.unknown() }).nullable(),
  is_second_send: z.boolean().optional(),
});
export const Decision = z.object({
  decision_id: z.string(),
  at,
  action: z.string(),
  reason: z.string(),
  inputs: z.record(z.string(), z.unknown()),
  arithmetic: z.array(z.object({ name: z.string(), formula: z.string(), value: z.unknown() })),
  rule_version: z.union([z.number(), z.string()]).nullable(),
  code_version: z.string().nullable(),
  attempts: z.array(Attempt),
  hash: z.string().nullable(),
  previous_hash: z.string().nullable(),
});

export const Candle = z.object({ at, open: price, high: price, low: price, close: price });
export const Candles = z.object({ interval: z.string(), items: z.array(Candle), next_before: at.nullable() });

export const Price = z.object({
  last_price: price,
  bid_price: price.nullable(),
  ask_price: price.nullable(),
  index_price: price.nullable(),
  funding_rate: z.number().nullable(),
  funding_at: at.nullable(),
  price_at: at,
  age_s: z.number(),
});

export const AccountList = z.object({ items: z.array(Account) });
export const TradeList = z.object({ items: z.array(Trade) });
export const ActivityPage = z.object({ items: z.array(Activity), next_cursor: z.string().nullable() });
export const Watches = z.record(z.string(), Watch);

export const Problem = z.object({
  type: z.string().optional(),
  title: z.string(),
  status: z.number(),
  detail: z.string().nullish(),
  code: z.string(),
  errors: z.array(z.object({ field: z.string(), message: z.string() })).nullish(),
});

export const Frame = z.union([
  z.object({ topic: z.string(), seq: z.number(), at, data: z.unknown(), snapshot: z.boolean().optional() }),
  z.object({ op: z.literal('pong') }),
  z.object({ op: z.literal('error'), code: z.string(), detail: z.string().nullish() }),
]);

export type User = z.infer<typeof User>;
export type Session = z.infer<typeof Session>;
export type Instance = z.infer<typeof Instance>;
export type Demo = z.infer<typeof Demo>;
export type Watch = z.infer<typeof Watch>;
export type Account = z.infer<typeof Account>;
export type Rule = z.infer<typeof Rule>;
export type Guard = z.infer<typeof Guard>;
export type Trade = z.infer<typeof Trade>;
export type Nights = z.infer<typeof Nights>;
export type Preview = z.infer<typeof Preview>;
export type RuleChange = z.infer<typeof RuleChange>;
export type Request = z.infer<typeof Request>;
export type SpendingAnswer = z.infer<typeof SpendingAnswer>;
export type Activity = z.infer<typeof Activity>;
export type Attempt = z.infer<typeof Attempt>;
export type Decision = z.infer<typeof Decision>;
export type Candle = z.infer<typeof Candle>;
export type Price = z.infer<typeof Price>;
export type Problem = z.infer<typeof Problem>;
