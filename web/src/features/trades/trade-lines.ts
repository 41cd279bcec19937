/** What of a trade is drawn on its chart: lines, past levels, marks. Pure. */
import type { TFunction } from 'i18next';
import type { Activity, Conflict, LadderMark, RuleBody, Trade } from '@/api/schema';
import type { ChartLine, ChartMark } from '@/components/charts/chart-shape';
import { activitySentence } from '@/lib/activity-words';
import { isMovable, type MarkRef } from '@/lib/rule-edit';
import { stepName } from '@/lib/step-words';

function isOf(trade: Trade, kind: string): (item: Activity) => boolean {
  return (item) => item.kind === kind && item.trade_id === trade.trade_id;
}

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

/** Rescues of a trade, oldest first. */
export function deedsOf(trade: Trade, activity: readonly Activity[]): Activity[] {
  const settled = isOf(trade, 'rescue_settled');
  const confirmed = isOf(trade, 'rescue_confirmed');
  return activity.filter((item) => confirmed(item) || (settled(item) && item.data.applied === true)).reverse();
}

export interface LinesOptions {
  trade: Trade;
  activity: readonly Activity[];
  /** Marks of a preview; without one, those of the guard in force as the trade carries them. */
  marks: readonly LadderMark[] | null;
  body: RuleBody | null;
  drag: { mark: string; price: number } | null;
  conflict: Conflict | null;
  whatIfPrice: number | null;
  t: TFunction;
}

type PastOf = (field: string) => { price: number; until: string }[];

export function linesOf(options: LinesOptions): ChartLine[] {
  const { trade, activity, conflict, whatIfPrice, t } = options;
  const past: PastOf = (before) =>
    deedsOf(trade, activity).flatMap((deed) => {
      const price = number(deed.data[before]);
      return price === null ? [] : [{ price, until: deed.at }];
    });
  const lines: ChartLine[] = [
    { id: 'entry', kind: 'entry', price: trade.entry_price, label: t('chart.entry') },
    {
      id: 'liquidation',
      kind: 'liquidation',
      price: trade.liquidation_price,
      label: t('chart.liquidation'),
      past: past('old_liquidation_price'),
      endsAt: trade.closed_at,
    },
  ];
  if (trade.status === 'closed') return lines;
  if (trade.take_profit_price !== null) {
    lines.push({ id: 'take_profit', kind: 'take_profit', price: trade.take_profit_price, label: t('chart.take_profit') });
  }
  if (trade.guard || options.marks) lines.push(...guardLines(options, past));
  else if (trade.stop_loss_price !== null) lines.push(stopLine(trade, trade.stop_loss_price, past, t));
  const seen = new Set<number>();
  for (const [index, point] of (conflict?.path ?? []).entries()) {
    // A point at a line that is drawn anyway would only cover its label.
    if (seen.has(point.price) || lines.some((line) => line.price === point.price)) continue;
    seen.add(point.price);
    lines.push({ id: `conflict:${index}`, kind: 'conflict', price: point.price, label: t(`conflict.what.${point.what}`, { step: stepName(point.step, t), defaultValue: point.what }) });
  }
  if (whatIfPrice !== null) lines.push({ id: 'what_if', kind: 'what_if', price: whatIfPrice, label: t('chart.what_if') });
  return lines;
}

function stopLine(trade: Trade, price: number, past: PastOf, t: TFunction): ChartLine {
  const label = trade.stop_owner === 'user' ? t('chart.own_stop') : t('chart.safety_stop');
  return { id: 'stop', kind: 'stop', price, label, past: past('old_stop_price') };
}

/** The marks the guard carries without a preview, in the shape of a preview's. */
function presentMarks(trade: Trade): LadderMark[] {
  const { guard } = trade;
  const marks: LadderMark[] = [];
  if (guard?.warn_price != null) marks.push({ key: 'warn', kind: 'warn', price: guard.warn_price, room_share: null });
  if (guard?.top_up_price != null) marks.push({ key: 'top_up', kind: 'top_up', price: guard.top_up_price, room_share: null });
  if (trade.stop_loss_price !== null) marks.push({ key: 'stop', kind: 'stop', price: trade.stop_loss_price, room_share: null });
  return marks;
}

function guardLines({ trade, activity, marks, body, drag, t }: LinesOptions, past: PastOf): ChartLine[] {
  const { guard } = trade;
  const lastDeed = deedsOf(trade, activity).at(-1)?.at ?? null;
  const isMuted = guard !== null && (guard.is_spending_stopped || guard.state === 'unwatched');
  const drawn = marks ?? presentMarks(trade);
  const lines = drawn.flatMap((mark): ChartLine[] => {
    if (mark.kind === 'liquidation') return [];
    const id = lineId(mark);
    const price = drag?.mark === mark.key ? drag.price : mark.price;
    // A stop its owner set stands where they put it, whatever the rule says.
    const isOwnStop = mark.kind === 'stop' && trade.stop_owner === 'user';
    const base = { id, kind: mark.kind, price, isDraggable: guard !== null && !isOwnStop && isMovable(mark, body) };
    if (mark.kind === 'stop') return [{ ...base, ...stopLine(trade, isOwnStop ? (trade.stop_loss_price ?? price) : price, past, t), id }];
    if (mark.kind === 'top_up') return [{ ...base, label: t('chart.top_up'), past: past('trigger_price'), isMuted }];
    return [{ ...base, label: t(`chart.${mark.kind}`), startsAt: mark.kind === 'warn' ? lastDeed : null, isMuted: isMuted && mark.kind === 'reduce' }];
  });
  // The stop stands at the exchange even where the rule draws none.
  if (!drawn.some((mark) => mark.kind === 'stop') && trade.stop_loss_price !== null) lines.push(stopLine(trade, trade.stop_loss_price, past, t));
  return lines;
}

function lineId(mark: MarkRef): string {
  return `${mark.kind}:${mark.key ?? ''}`;
}

/** The mark a line stands for, or null for a line that is no part of a rule. */
export function markOf(id: string): (MarkRef & { key: string }) | null {
  const [kind, key] = id.split(':');
  if (kind === undefined || key === undefined || kind === 'conflict') return null;
  return { kind: kind as MarkRef['kind'], key };
}

export function marksOf(trade: Trade, activity: readonly Activity[], t: TFunction): ChartMark[] {
  const marks: ChartMark[] = deedsOf(trade, activity).flatMap((deed) => {
    const price = number(deed.data.price);
    return price === null ? [] : [{ id: deed.activity_id, kind: 'deed' as const, at: deed.at, price, story: activitySentence(deed, t) }];
  });
  if (trade.closed_at !== null && trade.exit_price !== null) {
    const entry = activity.find(isOf(trade, 'trade_closed'));
    const isDeath = trade.close_reason === 'liquidation';
    marks.push({
      id: 'closed',
      kind: isDeath ? 'death' : 'exit',
      at: trade.closed_at,
      price: trade.exit_price,
      story: entry ? activitySentence(entry, t) : t(`words.close_reason.${trade.close_reason ?? 'unknown'}`),
    });
  }
  return marks;
}
