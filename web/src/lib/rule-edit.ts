/** Edits of a rule's body, among them what dragging a line on the chart means. Pure; prices of marks come from the server. */
import type { LadderMark, MarkKind, RuleBody, Step, StepAction, Trade, Trigger } from '@/api/schema';

export type TriggerKind = Trigger['kind'];
export type ActionKind = StepAction['kind'];

export const TRIGGERS: readonly TriggerKind[] = ['room_share', 'distance', 'price', 'consumed', 'margin_ratio'];
export const ACTIONS: readonly ActionKind[] = ['notify', 'top_up', 'top_up_to', 'top_up_sats', 'top_up_share', 'reduce', 'close'];

/** A rule that touches nothing and warns: what a scope without any rule starts from. */
export const WATCH: RuleBody = {
  preset: 'watch',
  steps: [{ key: 'warn', trigger: { kind: 'room_share', share: 0.6 }, action: { kind: 'notify' } }],
  limits: { position_sats: 0, position_margins: null, account_sats: null, account_day_sats: null, max_count: null, reserve_sats: 0 },
  stop_share: 0.12,
  rearm_share: 0.15,
  give_up_price: null,
  sources: ['balance'],
  shortage: 'partial',
  shortage_reduce: { share: 0.5, how: 'reopen' },
  takes_back: false,
  allow_second_send: true,
  inherits: [],
};

/** Returns the body as the owner's own: an edited preset is no preset any more. */
export function custom(body: RuleBody, patch: Partial<RuleBody>): RuleBody {
  return { ...body, preset: 'custom', ...patch };
}

export function withLimits(body: RuleBody, patch: Partial<RuleBody['limits']>): RuleBody {
  return custom(body, { limits: { ...body.limits, ...patch } });
}

/** Replaces one step; steps at shares of room stay ordered from far to near liquidation. */
export function withStep(body: RuleBody, key: string, change: Partial<Step>): RuleBody {
  return custom(body, { steps: ordered(body.steps.map((step) => (step.key === key ? { ...step, ...change } : step))) });
}

export function withoutStep(body: RuleBody, key: string): RuleBody {
  return custom(body, { steps: body.steps.filter((step) => step.key !== key) });
}

/** Adds a step between the last one and the safety stop. */
export function withNewStep(body: RuleBody): RuleBody {
  const shares = body.steps.flatMap((step) => (step.trigger.kind === 'room_share' ? [step.trigger.share] : []));
  const last = Math.min(1, ...shares);
  const share = Math.round(((last + (body.stop_share ?? 0)) / 2) * 100) / 100;
  let number = body.steps.length + 1;
  while (body.steps.some((step) => step.key === `step_${number}`)) number += 1;
  const step: Step = { key: `step_${number}`, trigger: { kind: 'room_share', share }, action: { kind: 'notify' } };
  return custom(body, { steps: ordered([...body.steps, step]) });
}

function ordered(steps: readonly Step[]): Step[] {
  const shareOf = (step: Step): number => (step.trigger.kind === 'room_share' ? step.trigger.share : -1);
  const shares = steps.filter((step) => step.trigger.kind === 'room_share').sort((a, b) => shareOf(b) - shareOf(a));
  return steps.map((step) => (step.trigger.kind === 'room_share' ? (shares.shift() ?? step) : step));
}

/** A trigger of another kind, with a figure to begin with. */
export function triggerOf(kind: TriggerKind, price: number | null): Trigger {
  if (kind === 'room_share') return { kind, share: 0.5 };
  if (kind === 'distance') return { kind, distance: 0.02 };
  if (kind === 'consumed') return { kind, share: 0.5 };
  if (kind === 'margin_ratio') return { kind, ratio: 0.8 };
  return { kind, price: price ?? 0 };
}

export function actionOf(kind: ActionKind): StepAction {
  if (kind === 'top_up') return { kind, refill_share: 1 };
  if (kind === 'top_up_to') return { kind, distance: 0.04 };
  if (kind === 'top_up_sats') return { kind, sats: 100_000 };
  if (kind === 'top_up_share') return { kind, share: 0.5 };
  if (kind === 'reduce') return { kind, share: 0.5, how: 'reopen' };
  return { kind };
}

/** Return the share of full room at `price`, clamped to 1..99 % and rounded to whole percents. */
export function shareAtPrice(options: { price: number; liquidation: number; fullRoom: number }): number {
  const room = Math.abs(options.price - options.liquidation) / options.price;
  return Math.min(0.99, Math.max(0.01, Math.round((room / options.fullRoom) * 100) / 100));
}

export interface MarkRef {
  kind: MarkKind;
  /** The step's key; null where only the kind is known. */
  key: string | null;
}

/** The step a mark on the chart stands for. */
function stepAt(body: RuleBody, mark: MarkRef): Step | null {
  const kinds: Partial<Record<MarkKind, (step: Step) => boolean>> = {
    warn: (step) => step.action.kind === 'notify',
    top_up: (step) => step.action.kind.startsWith('top_up'),
    reduce: (step) => step.action.kind === 'reduce',
    close: (step) => step.action.kind === 'close',
  };
  return body.steps.find((step) => step.key === mark.key) ?? body.steps.find((step) => kinds[mark.kind]?.(step) ?? false) ?? null;
}

/** Whether a line can be dragged: a margin ratio belongs to no single price. */
export function isMovable(mark: Pick<LadderMark, 'kind' | 'key'>, body: RuleBody | null): boolean {
  if (mark.kind === 'liquidation') return false;
  if (body === null || mark.kind === 'stop' || mark.kind === 'give_up') return true;
  const step = stepAt(body, mark);
  return step !== null && step.trigger.kind !== 'margin_ratio';
}

/** Return the body with a mark moved to where the reader dragged its line. */
export function moveMark(body: RuleBody, mark: MarkRef, price: number, trade: Trade): RuleBody {
  const share = (): number | null =>
    trade.full_room === null ? null : shareAtPrice({ price, liquidation: trade.liquidation_price, fullRoom: trade.full_room });
  if (mark.kind === 'give_up') return custom(body, { give_up_price: price });
  if (mark.kind === 'stop') {
    const stop = share();
    return stop === null ? body : custom(body, { stop_share: stop });
  }
  const step = stepAt(body, mark);
  if (!step) return body;
  const trigger = triggerAt(step.trigger, price, trade, share());
  return trigger === null ? body : withStep(body, step.key, { trigger });
}

function triggerAt(trigger: Trigger, price: number, trade: Trade, share: number | null): Trigger | null {
  const percent = (value: number): number => Math.round(value * 1000) / 1000;
  switch (trigger.kind) {
    case 'room_share':
      return share === null ? null : { kind: 'room_share', share };
    case 'distance':
      return { kind: 'distance', distance: percent(Math.abs(price - trade.liquidation_price) / price) };
    case 'price':
      return { kind: 'price', price };
    case 'consumed': {
      const whole = trade.entry_price - trade.liquidation_price;
      const used = whole === 0 ? 0 : (trade.entry_price - price) / whole;
      return { kind: 'consumed', share: Math.min(0.99, Math.max(0.01, percent(used))) };
    }
    case 'margin_ratio':
      return null;
  }
}
