import { Suspense, lazy, useMemo, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { useShallow } from 'zustand/react/shallow';
import type { LadderMark, Trade } from '@/api/schema';
import type { DragOfLine } from '@/components/charts/price-chart';
import { toBars, type Bar, type ChartLine, type ChartMark } from '@/components/charts/chart-shape';
import { StatePanel } from '@/components/state-panel';
import { Button } from '@/components/ui/button';
import { Skeleton } from '@/components/ui/skeleton';
import { moveMark } from '@/lib/rule-edit';
import { useActivity } from '@/stores/activity';
import { useCandles } from '@/stores/candles';
import { useDraft } from '@/stores/draft';
import { linesOf, markOf, marksOf } from './trade-lines';
import { tradeName } from '@/lib/trade-name';

const PriceChart = lazy(async () => ({ default: (await import('@/components/charts/price-chart')).PriceChart }));

/** A market that starts anew jumps; bars long before the story belong to another one. */
const BEFORE_STORY_MS = 10_000;

/** Bars of the 1 s candles, shaped once for every chart on the page. */
export function useBars(since: string | null): readonly Bar[] {
  const items = useCandles((state) => state.items);
  return useMemo(() => {
    const from = since === null ? 0 : Date.parse(since) - BEFORE_STORY_MS;
    return toBars(from === 0 ? items : items.filter((bar) => Date.parse(bar.at) >= from));
  }, [items, since]);
}

/** Keeps the same array while its content is the same, so that the chart is not redrawn by every frame. */
function useStable<T>(value: T): T {
  const text = JSON.stringify(value);
  // eslint-disable-next-line react-hooks/exhaustive-deps -- the text stands for the value
  return useMemo(() => value, [text]);
}

export function TradeChart({
  trade,
  beside,
  since,
  bars,
  hasScale,
  onRetry,
  ladderMarks = null,
  whatIfPrice = null,
  group = 'story',
  className,
}: {
  trade: Trade | null;
  /** The same trade in the other column. */
  beside: Trade | null;
  since: string | null;
  bars: readonly Bar[];
  hasScale: boolean;
  onRetry: () => void;
  /** Every mark of the rule in force, where the page knows them. */
  ladderMarks?: readonly LadderMark[] | null;
  /** The price a slider looks at. */
  whatIfPrice?: number | null;
  group?: string;
  className: string;
}): ReactNode {
  const { t } = useTranslation();
  const status = useCandles((state) => state.status);
  const activity = useActivity(useShallow((state) => state.items.filter((item) => item.trade_id === trade?.trade_id)));
  const draft = useDraft((state) => (trade && state.scope?.kind === 'trade' && state.scope.tradeId === trade.trade_id ? state.draft : null));
  const lines: ChartLine[] = useStable(
    trade
      ? linesOf({
          trade,
          activity,
          marks: draft?.preview?.marks ?? ladderMarks,
          body: draft?.body ?? null,
          drag: draft?.drag ?? null,
          conflict: draft?.preview?.conflicts[0] ?? null,
          whatIfPrice,
          t,
        })
      : [],
  );
  const marks: ChartMark[] = useStable(trade ? marksOf(trade, activity, t) : []);
  const alsoShow: number[] = useStable(beside ? [beside.liquidation_price, ...(beside.stop_loss_price === null ? [] : [beside.stop_loss_price])] : []);
  if (status === 'failed') {
    return (
      <div className={className}>
        <StatePanel
          tone="caution"
          title={t('chart.failed')}
          detail={t('chart.failed_detail')}
          action={<Button size="sm" variant="outline" onClick={onRetry}>{t('common.try_again')}</Button>}
        />
      </div>
    );
  }
  if (!trade || status === 'loading') return <ChartSkeleton className={className} />;
  const onDrag = (drag: DragOfLine): void => {
    const mark = markOf(drag.lineId);
    if (!mark) return;
    const { open, edit } = useDraft.getState();
    if (drag.phase === 'begin') open({ kind: 'trade', accountId: trade.exchange_account_id, tradeId: trade.trade_id });
    edit(
      (body) => moveMark(body, mark, drag.price, trade),
      drag.phase === 'begin' ? 'begin' : 'go_on',
      drag.phase === 'end' ? null : { mark: mark.key, price: drag.price },
    );
  };
  const name = tradeName(trade, t(`words.side.${trade.side}`));
  return (
    <Suspense fallback={<ChartSkeleton className={className} />}>
    <PriceChart
      bars={bars}
      lines={lines}
      marks={marks}
      alsoShow={alsoShow}
      since={since}
      group={group}
      hasScale={hasScale}
      label={t('chart.label', { trade: name })}
      {...(trade.guard ? { onDrag } : {})}
      className={className}
    />
    </Suspense>
  );
}

export function ChartSkeleton({ className }: { className: string }): ReactNode {
  return (
    <div className={className} aria-hidden>
      <div className="flex h-full items-end gap-1 pr-32 pb-6">
        {[38, 44, 41, 52, 48, 57, 54, 62, 58, 66, 61, 70].map((height, index) => (
          <Skeleton key={index} className="flex-1" style={{ height: `${height}%` }} />
        ))}
      </div>
    </div>
  );
}
