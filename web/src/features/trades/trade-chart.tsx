import { Suspense, lazy, useMemo, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { useShallow } from 'zustand/react/shallow';
import type { Trade } from '@/api/schema';
import type { DragOfLine } from '@/components/charts/price-chart';
import { toBars, type Bar, type ChartLine, type ChartMark } from '@/components/charts/chart-shape';
import { StatePanel } from '@/components/state-panel';
import { Button } from '@/components/ui/button';
import { Skeleton } from '@/components/ui/skeleton';
import { shareAtPrice } from '@/lib/room';
import { ruleChangeOf } from '@/lib/rule-change';
import { useActivity } from '@/stores/activity';
import { useCandles } from '@/stores/candles';
import { useView } from '@/stores/view';
import { linesOf, marksOf } from './trade-lines';
import { tradeName } from './trade-row';

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
  className,
}: {
  trade: Trade | null;
  /** The same trade in the other column. */
  beside: Trade | null;
  since: string | null;
  bars: readonly Bar[];
  hasScale: boolean;
  onRetry: () => void;
  className: string;
}): ReactNode {
  const { t } = useTranslation();
  const status = useCandles((state) => state.status);
  const activity = useActivity(useShallow((state) => state.items.filter((item) => item.trade_id === trade?.trade_id)));
  const draft = useView((state) => (state.draft && state.draft.tradeId === trade?.trade_id ? state.draft : null));
  const openRule = useView((state) => state.openRule);
  const editRule = useView((state) => state.editRule);
  const lines: ChartLine[] = useStable(
    trade ? linesOf({ trade, activity, draft: draft ? { preview: draft.preview, topUpPrice: draft.dragPrice } : null, t }) : [],
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
    const rule = trade.guard?.rule;
    if (!rule || trade.full_room === null) return;
    if (drag.phase === 'begin' && !draft) openRule(trade.exchange_account_id, trade.trade_id, ruleChangeOf(rule));
    const share = shareAtPrice({ price: drag.price, liquidation: trade.liquidation_price, fullRoom: trade.full_room });
    editRule({ top_up_share: share }, drag.phase === 'begin' ? 'begin' : 'go_on', drag.phase === 'end' ? null : drag.price);
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
      group="story"
      hasScale={hasScale}
      label={t('chart.label', { trade: name })}
      {...(trade.guard?.rule ? { onDrag } : {})}
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
