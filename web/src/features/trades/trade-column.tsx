import type { TFunction } from 'i18next';
import { Shield, ShieldOff } from 'lucide-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Account, Trade } from '@/api/schema';
import { Age } from '@/components/age';
import { StatePanel } from '@/components/state-panel';
import { Skeleton } from '@/components/ui/skeleton';
import { useMediaQuery } from '@/lib/media';
import { cn } from '@/lib/cn';
import { formatRatio, formatSats, formatSatsAbout } from '@/lib/units';
import type { Bar } from '@/components/charts/chart-shape';
import { TradeChart } from './trade-chart';
import { tradeName } from '@/lib/trade-name';
import { TradeRow } from './trade-row';

/** Calm accounts are read every 30 to 60 s; facts older than that are overdue. */
const ACCOUNT_READ_S = 75;

export interface TradeColumnProps {
  account: Account | null;
  trades: readonly Trade[] | null;
  receivedAt: number;
  chosen: Trade | null;
  /** The chosen trade in the other column. */
  beside: Trade | null;
  bars: readonly Bar[];
  isPair: boolean;
  isGuarded: boolean;
  /** When the story began: the chart keeps it in view. */
  since: string | null;
  onChoose: (trade: Trade) => void;
  onRetry: () => void;
  className?: string;
}

/** One account's side of the story: the chosen trade large, then every trade as a gauge. */
export function TradeColumn({ account, trades, receivedAt, chosen, beside, bars, isPair, isGuarded, since, onChoose, onRetry, className }: TradeColumnProps): ReactNode {
  const { t } = useTranslation();
  const ages = (trades ?? []).filter((trade) => trade.status === 'running').map((trade) => trade.age_s ?? Infinity);
  const oldest = ages.length > 0 ? Math.max(...ages) : null;
  const isWide = useMediaQuery('(min-width: 640px)');
  const Icon = isGuarded ? Shield : ShieldOff;
  const heading = !isPair ? (account?.name ?? '') : t(isGuarded ? 'column.guarded' : 'column.unguarded');
  return (
    <section className={cn('flex min-w-0 flex-col gap-2', className)} aria-label={heading}>
      <header className="flex h-7 items-center gap-2 px-1">
        <Icon aria-hidden className="size-4 text-faint" />
        <h2 className="truncate text-sm font-semibold">{heading}</h2>
        <span className="ml-auto flex items-center gap-3 text-xs text-muted">
          {account && <span className="whitespace-nowrap">{t('column.free', { amount: formatSats(account.balance_sats) })}</span>}
          {oldest !== null && <Age ageS={oldest} receivedAt={receivedAt} oldAfterS={ACCOUNT_READ_S} />}
        </span>
      </header>
      <div className="rounded-lg border border-line bg-card">
        <TradeChart trade={chosen} beside={beside} since={since} bars={bars} hasScale={isWide} onRetry={onRetry} className="h-[12.75rem] w-full pt-1 tall:h-72" />
        <ChosenSentence trade={chosen} />
      </div>
      <Rows trades={trades} chosen={chosen} onChoose={onChoose} />
    </section>
  );
}

function Rows({ trades, chosen, onChoose }: Pick<TradeColumnProps, 'trades' | 'chosen' | 'onChoose'>): ReactNode {
  const { t } = useTranslation();
  if (trades === null) {
    return (
      <ul className="flex flex-col gap-2" aria-label={t('common.loading')}>
        {[0, 1, 2].map((index) => (
          <li key={index} className="h-[4.9rem] rounded-lg border border-line bg-card px-3 py-2.5">
            <div className="flex justify-between">
              <Skeleton className="h-4 w-24" />
              <Skeleton className="h-4 w-28" />
            </div>
            <Skeleton className="mt-3 h-1.5 w-full" />
            <Skeleton className="mt-3 h-3 w-2/3" />
          </li>
        ))}
      </ul>
    );
  }
  if (trades.length === 0) {
    return (
      <div className="rounded-lg border border-line bg-card">
        <StatePanel title={t('column.empty')} detail={t('column.empty_detail')} />
      </div>
    );
  }
  return (
    <ul className="flex flex-col gap-2">
      {trades.map((trade) => (
        <TradeRow key={trade.trade_id} trade={trade} isChosen={trade.trade_id === chosen?.trade_id} onChoose={() => onChoose(trade)} />
      ))}
    </ul>
  );
}

/** One line in words under the chart: room, what may be spent, the worst case. */
function ChosenSentence({ trade }: { trade: Trade | null }): ReactNode {
  const { t } = useTranslation();
  const text = trade ? sentence(trade, t) : '';
  const name = trade ? tradeName(trade, t(`words.side.${trade.side}`)) : '';
  return (
    <p className="min-h-[3.1rem] border-t border-line px-3 py-1.5 text-xs leading-[1.15rem] text-muted">
      {trade ? (
        <>
          <span className="font-semibold text-text">{name}.</span> {text}
        </>
      ) : (
        <Skeleton className="mt-1 h-3 w-4/5" />
      )}
    </p>
  );
}

function sentence(trade: Trade, t: TFunction): string {
  const { guard } = trade;
  const values = {
    room: formatRatio(trade.room === null ? null : Math.max(0, trade.room), 2),
    limit: formatSats(guard?.limit_sats),
    left: formatSats(guard?.left_sats),
    spent: formatSats(guard?.spent_sats),
    worst: formatSatsAbout(guard?.worst_case_sats),
    bare: formatSatsAbout(guard?.unguarded_worst_case_sats),
    returns: formatSatsAbout(guard?.stop_returns_sats),
    result: formatSats(trade.result_sats),
    value: formatSats(trade.value_sats),
    margin: formatSats(trade.entry_margin_sats),
  };
  if (trade.status === 'closed') return t(`sentence.closed_${trade.close_reason ?? 'unknown'}`, values);
  if (!guard) return t('sentence.unguarded', values);
  if (guard.state === 'unwatched') return t('sentence.unwatched', values);
  if (guard.is_spending_stopped) return t('sentence.spending_stopped', values);
  return t(guard.spent_sats > 0 ? 'sentence.guarded_after' : 'sentence.guarded', values);
}
