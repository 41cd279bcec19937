import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { PlugZap, RotateCcw, X } from 'lucide-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { call } from '@/api/client';
import { NightsCard, type Demo, type Trade } from '@/api/schema';
import { SignedSats } from '@/components/amount';
import { Button } from '@/components/ui/button';
import { cn } from '@/lib/cn';
import { nightsWords } from '@/lib/nights-words';
import { formatLeverage, formatSats } from '@/lib/units';
import { OtherMarket } from './story-bar';
import type { StoryCommand } from './story-api';

export interface Pair {
  guarded: Trade;
  unguarded: Trade | null;
}

/** How the story ended: each trade with and without the guard, never flattered. */
export function SummaryCard({
  demo,
  pairs,
  lead,
  run,
  onHide,
}: {
  demo: Demo;
  pairs: readonly Pair[];
  lead: Trade | null;
  run: (command: StoryCommand) => void;
  onHide: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const total = pairs.reduce((sum, { guarded }) => sum + (guarded.kept_sats ?? 0), 0);
  return (
    <section className="relative animate-slide-in-up rounded-lg border border-line bg-card p-4" aria-label={t('summary.title')}>
      <Button variant="ghost" size="icon-sm" aria-label={t('common.close')} onClick={onHide} className="absolute top-2 right-2">
        <X />
      </Button>
      <div className="grid gap-x-10 gap-y-4 lg:grid-cols-[minmax(0,1fr)_minmax(0,22rem)]">
        <div className="min-w-0">
          <h2 className="text-base font-semibold">{t('summary.title')}</h2>
          <div className="overflow-x-auto">
            <table className="mt-2 w-full text-2xs sm:text-sm">
              <thead className="text-xs text-faint">
                <tr>
                  {['trade', 'added', 'with', 'without', 'kept'].map((name, index) => (
                    <th key={name} scope="col" className={cn('py-1 align-bottom font-normal', index === 0 ? 'text-left' : 'pl-1 text-right sm:pl-4', name === 'added' && 'hidden sm:table-cell')}>
                      {t(`summary.${name}`)}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {pairs.map(({ guarded, unguarded }) => (
                  <Row key={guarded.trade_id} guarded={guarded} unguarded={unguarded} />
                ))}
              </tbody>
              <tfoot>
                <tr className="border-t border-line font-semibold">
                  <th scope="row" className="py-1.5 text-left">{t('summary.together')}</th>
                  <td colSpan={4} className="py-1.5 text-right">
                    <KeptOrCost value={total} />
                  </td>
                </tr>
              </tfoot>
            </table>
          </div>
        </div>
        <div className="flex flex-col justify-between gap-4">
          <NightsLine lead={lead} />
          <div className="flex flex-wrap gap-2">
            <Button size="sm" variant="outline" onClick={() => run({ path: 'play-again', body: {} })}>
              <RotateCcw /> {t('story.play_again')}
            </Button>
            <OtherMarket demo={demo} run={run} />
            <Button size="sm" variant="outline" onClick={() => run({ path: 'pull-the-plug', body: { seconds: 20 } })}>
              <PlugZap /> {t('story.plug')}
            </Button>
            <Button size="sm" asChild>
              <Link to="/connect">{t('summary.my_account')}</Link>
            </Button>
          </div>
        </div>
      </div>
    </section>
  );
}

function Row({ guarded, unguarded }: Pair): ReactNode {
  const { t } = useTranslation();
  const name = guarded.label ?? `${formatLeverage(guarded.entry_leverage)} ${t(`words.side.${guarded.side}`)}`;
  return (
    <tr className="border-t border-line">
      <th scope="row" className="py-1.5 text-left font-medium">
        {name}
        <span className="block text-2xs font-normal text-faint">
          {guarded.status === 'closed' ? t(`trade.closed_by.${guarded.close_reason ?? 'unknown'}`) : t('summary.alive')}
        </span>
      </th>
      <td className="hidden pl-4 text-right text-muted sm:table-cell">{formatSats(guarded.added_sats)}</td>
      <td className="pl-1 text-right sm:pl-4"><SignedSats value={guarded.result_sats} /></td>
      <td className="pl-1 text-right sm:pl-4"><SignedSats value={unguarded?.result_sats ?? null} /></td>
      <td className="pl-1 text-right font-semibold sm:pl-4"><KeptOrCost value={guarded.kept_sats} /></td>
    </tr>
  );
}

/** "kept 319 000 sat" or "cost 254 643 sat": a cost is never dressed as a gain. */
function KeptOrCost({ value }: { value: number | null }): ReactNode {
  const { t } = useTranslation();
  if (value === null) return <span className="text-muted">–</span>;
  if (value === 0) return <span className="text-muted">{t('summary.same')}</span>;
  return (
    <span className={cn('sm:whitespace-nowrap', value < 0 ? 'text-loss' : 'text-text')}>
      {t(value < 0 ? 'summary.it_cost' : 'summary.it_kept', { amount: formatSats(Math.abs(value)) })}
    </span>
  );
}

function NightsLine({ lead }: { lead: Trade | null }): ReactNode {
  const { t } = useTranslation();
  const rule = lead?.guard?.rule ?? null;
  const preset = rule?.preset === 'hold_longer' ? 'hold_longer' : 'hold';
  const query = useQuery({
    queryKey: ['guard', 'nights', preset, lead?.entry_leverage],
    enabled: lead !== null && rule !== null,
    staleTime: Infinity,
    retry: false,
    queryFn: ({ signal }) => {
      const asked = new URLSearchParams({ preset, leverage: String(lead?.entry_leverage ?? 0), limit_margins: preset === 'hold' ? '1' : '2' });
      return call(`/guard/nights?${asked.toString()}`, { schema: NightsCard.nullable(), signal });
    },
  });
  const nights = query.data ?? null;
  return (
    <div className="text-sm text-muted">
      <p>{t('summary.honest')}</p>
      {nights && (
        <p className="mt-2">
          {t('nights.title', { count: nights.nights, leverage: formatLeverage(nights.leverage) })}{' '}
          {nightsWords(nights, t)}
        </p>
      )}
    </div>
  );
}
