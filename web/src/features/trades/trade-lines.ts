/** What of a trade is drawn on its chart: lines, past levels, marks. Pure. */
import type { TFunction } from 'i18next';
import type { Activity, Preview, Trade } from '@/api/schema';
import type { ChartLine, ChartMark } from '@/components/charts/chart-shape';
import { activitySentence } from '@/lib/activity-words';

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

export function linesOf(options: {
  trade: Trade;
  activity: readonly Activity[];
  draft: { preview: Preview | null; topUpPrice: number | null } | null;
  t: TFunction;
}): ChartLine[] {
  const { trade, activity, draft, t } = options;
  const { guard } = trade;
  const isOver = trade.status === 'closed';
  const past = (before: string): { price: number; until: string }[] =>
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
  if (isOver) return lines;
  const stop = trade.stop_loss_price;
  if (stop !== null) {
    const label = trade.stop_owner === 'user' ? t('chart.own_stop') : t('chart.safety_stop');
    lines.push({ id: 'stop', kind: 'stop', price: stop, label, past: past('old_stop_price') });
  }
  if (trade.take_profit_price !== null) {
    lines.push({ id: 'take_profit', kind: 'take_profit', price: trade.take_profit_price, label: t('chart.take_profit') });
  }
  if (!guard) return lines;
  const lastDeed = deedsOf(trade, activity).at(-1)?.at ?? null;
  const warn = draft?.preview ? draft.preview.warn_price : guard.warn_price;
  if (warn !== null) lines.push({ id: 'warn', kind: 'warn', price: warn, label: t('chart.warn'), startsAt: lastDeed });
  const topUp = draft?.topUpPrice ?? (draft?.preview ? draft.preview.top_up_price : guard.top_up_price);
  if (topUp !== null) {
    const isMuted = guard.is_spending_stopped || guard.state === 'unwatched';
    lines.push({ id: 'top_up', kind: 'top_up', price: topUp, label: t('chart.top_up'), past: past('trigger_price'), isDraggable: guard.rule !== null, isMuted });
  }
  return lines;
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
