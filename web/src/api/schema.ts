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
  permissions: z.array(z.string()),
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

/** One reason of a state, or one sentence of an explanation: a code with the figures its words need. */
export const Saying = z.object({ code: z.string(), data: z.record(z.string(), z.unknown()) });

export const CoverageState = z.enum(['green', 'amber', 'red', 'unknown', 'off']);
export const Coverage = z.object({
  state: CoverageState,
  reasons: z.array(Saying),
  as_of: at.nullable(),
  age_s: z.number().nullable(),
  protected_to_price: price.nullable(),
  uses_sats: sats.nullable(),
  worst_case_sats: sats.nullable(),
  returns_if_lost_sats: sats.nullable(),
  shortfall_sats: sats,
  fund_address_hint: z.string().nullable(),
  layers: z.object({ guard: z.boolean(), stop: z.boolean(), alarm: z.boolean() }),
});
export const CoverageOverview = z.object({
  user: Coverage,
  accounts: z.array(
    z.object({
      exchange_account_id: z.string(),
      name: z.string(),
      coverage: Coverage,
      cross: Coverage.nullable(),
      trades: z.array(z.object({ trade_id: z.string(), label: z.string().nullable(), coverage: Coverage })),
    }),
  ),
});
export const Fund = z.object({
  request_id: z.string(),
  status: z.enum(['requested', 'waiting', 'paid', 'expired', 'refused', 'unknown']),
  payment_request: z.string().nullable(),
  amount_sats: sats,
  expires_at: at.nullable(),
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
  coverage: Coverage.nullable(),
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
  coverage: Coverage.nullable(),
});

export const Preset = z.enum(['watch', 'hold', 'hold_longer', 'cut', 'custom']);
export const Trigger = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('room_share'), share }),
  z.object({ kind: z.literal('distance'), distance: share }),
  z.object({ kind: z.literal('price'), price }),
  z.object({ kind: z.literal('consumed'), share }),
  z.object({ kind: z.literal('margin_ratio'), ratio: z.number() }),
]);
export const ReduceHow = z.enum(['close_one', 'reopen']);
export const StepAction = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('notify') }),
  z.object({ kind: z.literal('top_up'), refill_share: share }),
  z.object({ kind: z.literal('top_up_to'), distance: share }),
  z.object({ kind: z.literal('top_up_sats'), sats }),
  z.object({ kind: z.literal('top_up_share'), share }),
  z.object({ kind: z.literal('reduce'), share, how: ReduceHow }),
  z.object({ kind: z.literal('close') }),
]);
export const Step = z.object({ key: z.string(), trigger: Trigger, action: StepAction });
export const FundingSource = z.enum(['balance', 'cash_in', 'swap', 'deposit']);
export const Shortage = z.enum(['partial', 'reduce', 'close', 'notify']);
export const RulePart = z.enum(['steps', 'stop', 'give_up', 'limits', 'funding']);
export const RuleBody = z.object({
  preset: Preset,
  steps: z.array(Step),
  limits: z.object({
    position_sats: sats.nullable(),
    position_margins: z.number().nullable(),
    account_sats: sats.nullable(),
    account_day_sats: sats.nullable(),
    max_count: z.number().int().nullable(),
    reserve_sats: sats,
  }),
  stop_share: share.nullable(),
  rearm_share: share,
  give_up_price: price.nullable(),
  sources: z.array(FundingSource),
  shortage: Shortage,
  shortage_reduce: z.object({ share, how: ReduceHow }),
  takes_back: z.boolean(),
  allow_second_send: z.boolean(),
  inherits: z.array(RulePart),
});
export const RuleDocument = RuleBody.extend({
  rule_id: z.string().nullable(),
  version: z.number().int(),
  scope: z.enum(['user', 'account', 'trade', 'cross']),
});
export const NewTrades = z.object({ preset: Preset, is_chosen: z.boolean(), version: z.number().int() });
/** The rules of one scope: its own, what it would inherit, and what holds. */
export const RuleView = z.object({
  own: RuleDocument.nullable(),
  inherited: RuleDocument.nullish(),
  effective: RuleDocument.nullish(),
  is_guarded: z.boolean().optional(),
  new_trades: NewTrades.optional(),
  presets: z
    .array(z.object({ preset: Preset, is_offered: z.boolean(), reason: z.string().nullable(), rule: RuleBody.nullable() }))
    .optional(),
});
export const Guarded = z.object({ is_guarded: z.boolean() });

export const Conflict = z.object({
  kind: z.string(),
  steps: z.array(z.string()),
  path: z.array(z.object({ price, what: z.string(), step: z.string().nullable() })),
  /** The trade it was found on; null where there is but one. */
  trade_id: z.string().nullable(),
});
export const NightsCard = z.object({
  preset: Preset,
  leverage: z.number(),
  nights: z.number().int(),
  died_unguarded: z.number(),
  acted: z.number(),
  saved: z.number(),
  better_than_liquidation: z.number(),
  worse_than_liquidation: z.number(),
  closed_that_would_have_lived: z.number().nullable(),
  mean_sats_added_share: z.number(),
  when_acting_share: z.number().nullable(),
  mean_result_change_share: z.number(),
  against: z.array(
    z.object({
      name: z.string(),
      saved: z.number().nullable(),
      closed: z.number().nullable(),
      would_have_lived: z.number().nullable(),
      mean_result_share: z.number(),
      worst_share: z.number(),
    }),
  ),
  source: z.string(),
  raises_mean: z.boolean(),
});
export const MarkKind = z.enum(['warn', 'top_up', 'reduce', 'close', 'give_up', 'stop', 'liquidation']);
export const LadderMark = z.object({ key: z.string(), kind: MarkKind, price, room_share: share.nullable() });
export const LadderEvent = z.object({
  price,
  what: z.enum(['warned', 'topped_up', 'held', 'reduced', 'closed', 'gave_up', 'stopped', 'liquidated']),
  step: z.string().nullable(),
  sats,
  spent_sats: sats,
  liquidation_price: price.nullable(),
  stop_price: price.nullable(),
  returns_sats: sats.nullable(),
  reason: z.string().nullable(),
});
export const LadderPreview = z.object({
  marks: z.array(LadderMark),
  events: z.array(LadderEvent),
  covered_to_price: price.nullable(),
  worst_case_sats: sats,
  unguarded_worst_case_sats: sats,
  stop_returns_sats: sats.nullable(),
  expected_funding_sats_until_morning: sats.nullable(),
  at_entry: z.object({ sats, liquidation_price: price }),
  conflicts: z.array(Conflict),
  fires_now_price: price.nullable(),
  nights: NightsCard.nullable(),
});

export const CrossView = z.object({
  side: z.enum(['long', 'short']).nullable(),
  quantity_usd: z.number().int(),
  entry_price: price.nullable(),
  liquidation_price: price.nullable(),
  margin_sats: sats,
  leverage: z.number(),
  pnl_sats: sats.nullable(),
  funding_sats: sats,
  age_s: z.number(),
  coverage: Coverage.nullable(),
  marks: z.array(LadderMark),
  rule: RuleDocument.nullable(),
});
export const Cross = z.object({ position: CrossView.nullable() });

export const WhyEntry = z.object({
  decision_id: z.string(),
  at,
  kind: z.enum(['did', 'held', 'outcome']),
  sentence: Saying,
  rule_version: z.number().int().nullable(),
  code_version: z.string(),
  sealed: z.boolean(),
});
export const WhyPage = z.object({ items: z.array(WhyEntry), next_cursor: z.string().nullable() });
export const WhyNot = z.object({
  at,
  price: price.nullable(),
  steps: z.array(
    z.object({
      key: z.string(),
      mark_price: price.nullable(),
      ready: z.boolean(),
      is_due: z.boolean(),
      away_share: z.number().nullable(),
      blocks: z.array(Saying),
    }),
  ),
  next: Saying.nullable(),
});
export const FollowUp = z.object({
  at,
  kept_sats: sats.nullable(),
  with_value_sats: sats.nullable(),
  without_value_sats: sats.nullable(),
  would_have_died: z.boolean().nullable(),
  added_sats: sats,
  note: z.string().nullable(),
});
export const RescueReport = z.object({
  decision_id: z.string(),
  at,
  amount_sats: sats,
  price: price.nullable(),
  old_liquidation_price: price.nullable(),
  new_liquidation_price: price.nullable(),
  then: FollowUp.nullable(),
  after_24h: FollowUp.nullable(),
  after_24h_at: at.nullable(),
});
export const RescueList = z.object({ items: z.array(RescueReport) });
export const Drill = z.object({
  drill_id: z.string(),
  status: z.enum(['running', 'passed', 'failed', 'unknown']),
  started_at: at,
  steps: z.array(
    z.object({
      name: z.string(),
      method: z.string().nullable(),
      target: z.string().nullable(),
      sent_at: at.nullable(),
      answered_at: at.nullable(),
      ms: z.number().nullable(),
      answer_status: z.number().nullable(),
      detail: z.string().nullable(),
      ok: z.boolean().nullable(),
    }),
  ),
  valid_until: at.nullable(),
});
const figure = z.union([z.number(), z.string(), z.boolean()]).nullable();
export const Check = z.object({
  at,
  rows: z.array(
    z.object({ field: z.string(), ours: figure, theirs: figure, difference: z.number().nullable(), unit: z.string().nullable(), age_s: z.number().nullable() }),
  ),
  agrees: z.boolean(),
});
export const TakeBack = z.object({
  amount_sats: sats,
  returnable_sats: sats,
  from_profit_sats: sats,
  from_margin_sats: sats,
  realizes_profit: z.boolean(),
  liquidation_price: price.nullable(),
  room_share: share.nullable(),
  safety_stop_price: price.nullable(),
  held_by: z.string().nullable(),
  held_until: at.nullable(),
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
  context: z
    .object({
      /** Where a rule would act at once, and on which trade. */
      mark_price: price.nullish(),
      last_price: price.nullish(),
      trade_id: z.string().nullish(),
      conflicts: z.array(Conflict).nullish(),
    })
    .nullish(),
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
export type Request = z.infer<typeof Request>;
export type SpendingAnswer = z.infer<typeof SpendingAnswer>;
export type Activity = z.infer<typeof Activity>;
export type Attempt = z.infer<typeof Attempt>;
export type Decision = z.infer<typeof Decision>;
export type Candle = z.infer<typeof Candle>;
export type Price = z.infer<typeof Price>;
export type Problem = z.infer<typeof Problem>;
export type Saying = z.infer<typeof Saying>;
export type Coverage = z.infer<typeof Coverage>;
export type CoverageState = z.infer<typeof CoverageState>;
export type CoverageOverview = z.infer<typeof CoverageOverview>;
export type Fund = z.infer<typeof Fund>;
export type Preset = z.infer<typeof Preset>;
export type Trigger = z.infer<typeof Trigger>;
export type StepAction = z.infer<typeof StepAction>;
export type Step = z.infer<typeof Step>;
export type FundingSource = z.infer<typeof FundingSource>;
export type Shortage = z.infer<typeof Shortage>;
export type RulePart = z.infer<typeof RulePart>;
export type RuleBody = z.infer<typeof RuleBody>;
export type RuleDocument = z.infer<typeof RuleDocument>;
export type RuleView = z.infer<typeof RuleView>;
export type NewTrades = z.infer<typeof NewTrades>;
export type Conflict = z.infer<typeof Conflict>;
export type NightsCard = z.infer<typeof NightsCard>;
export type MarkKind = z.infer<typeof MarkKind>;
export type LadderMark = z.infer<typeof LadderMark>;
export type LadderEvent = z.infer<typeof LadderEvent>;
export type LadderPreview = z.infer<typeof LadderPreview>;
export type CrossView = z.infer<typeof CrossView>;
export type WhyEntry = z.infer<typeof WhyEntry>;
export type WhyNot = z.infer<typeof WhyNot>;
export type FollowUp = z.infer<typeof FollowUp>;
export type RescueReport = z.infer<typeof RescueReport>;
export type Drill = z.infer<typeof Drill>;
export type Check = z.infer<typeof Check>;
export type TakeBack = z.infer<typeof TakeBack>;
export type WhyPage = z.infer<typeof WhyPage>;
export type RescueList = z.infer<typeof RescueList>;
export type ReduceHow = z.infer<typeof ReduceHow>;
