import { useQuery } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { ApiProblem, call } from '@/api/client';
import { Cross, type Coverage, type CrossView } from '@/api/schema';
import { Age } from '@/components/age';
import { SignedSats } from '@/components/amount';
import { CoverageFigures, CoverageReasons, promiseOf } from '@/components/coverage-body';
import { CoverageState } from '@/components/coverage-state';
import { Button } from '@/components/ui/button';
import { Gauge } from '@/components/gauge';
import { Skeleton } from '@/components/ui/skeleton';
import { LadderPanel } from '@/components/ladder-panel';
import { WhyPanel } from '@/components/why-panel';
import { monotonicNow } from '@/lib/clock';
import { formatInteger, formatLeverage, formatPrice, formatSats } from '@/lib/units';
import { useWhyNot } from '@/lib/use-why';
import { useDraft } from '@/stores/draft';
import { useMarket } from '@/stores/market';

const READ_MS = 5_000;

/** The cross position of an account; nothing is drawn where there is none and no word about it. */
export function CrossCard({ accountId, coverage, receivedAt }: { accountId: string; coverage: Coverage | null; receivedAt: number }): ReactNode {
  const { t } = useTranslation();
  const open = useDraft((state) => state.open);
  const query = useQuery({
    queryKey: ['guard', 'cross', accountId],
    queryFn: async ({ signal }) => {
      try {
        const { position } = await call(`/accounts/${accountId}/cross`, { schema: Cross, signal });
        return { position, receivedAt: monotonicNow() };
      } catch (error) {
        if (error instanceof ApiProblem && error.status === 404) return { position: null, receivedAt: monotonicNow() };
        throw error;
      }
    },
    refetchInterval: READ_MS,
  });
  const position = query.data?.position ?? null;
  const isFlat = position === null || position.quantity_usd === 0;
  if (isFlat && coverage === null && !query.isError) return null;
  const known = position?.coverage ?? coverage;
  return (
    <li className="rounded-lg border border-line bg-card px-3 py-2.5" data-testid="cross-card">
      <div className="flex flex-wrap items-center gap-2">
        <h3 className="text-sm font-semibold">{t('cross.title')}</h3>
        {known && <CoverageState state={known.state} />}
        {position && !isFlat && <SignedSats value={position.pnl_sats} className="ml-auto text-sm font-medium" />}
        {!isFlat && (
          <Button size="xs" variant="outline" onClick={() => open({ kind: 'cross', accountId })}>
            {t('cross.change')}
          </Button>
        )}
      </div>
      {query.isPending && <Skeleton className="mt-3 h-4 w-2/3" />}
      {query.isError && <p className="mt-2 text-sm text-caution">{t('cross.failed')}</p>}
      {position && (isFlat ? <p className="mt-2 text-sm text-muted">{t('cross.none')}</p> : <Standing position={position} receivedAt={query.data?.receivedAt ?? 0} />)}
      {known && (
        <>
          <p className="mt-2 text-sm">{promiseOf(known, t)}</p>
          <CoverageReasons coverage={known} className="mt-1.5" />
          <CoverageFigures coverage={known} receivedAt={receivedAt} className="mt-3" />
        </>
      )}
      {position && !isFlat && <Details position={position} accountId={accountId} />}
    </li>
  );
}

/** Its steps, what holds them back, and what was done: read once they are opened. */
function Details({ position, accountId }: { position: CrossView; accountId: string }): ReactNode {
  const { t } = useTranslation();
  const [isOpen, setOpen] = useState(false);
  return (
    <details className="mt-3 border-t border-line pt-2 text-sm" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="cursor-pointer text-xs font-medium text-muted hover:text-text">{t('cross.details')}</summary>
      {isOpen && <OpenDetails position={position} accountId={accountId} />}
    </details>
  );
}

function OpenDetails({ position, accountId }: { position: CrossView; accountId: string }): ReactNode {
  const { t } = useTranslation();
  const of = `/accounts/${accountId}/cross`;
  const whyNot = useWhyNot(of, position.margin_sats, true);
  return (
    <>
      <h4 className="mt-3 text-xs font-semibold">{t('rule_panel.title')}</h4>
      {position.rule ? <LadderPanel rule={position.rule} ladder={null} whyNot={whyNot.data ?? null} /> : <p className="text-sm text-caution">{t('cross.no_rule')}</p>}
      {whyNot.isError && <p className="mt-2 text-xs text-caution">{t('why_not.failed')}</p>}
      <h4 className="mt-3 mb-1 text-xs font-semibold">{t('why.title')}</h4>
      <WhyPanel of={of} accountId={accountId} news={`${position.margin_sats} ${position.quantity_usd}`} />
    </>
  );
}

function Standing({ position, receivedAt }: { position: CrossView; receivedAt: number }): ReactNode {
  const { t } = useTranslation();
  const price = useMarket((state) => state.price?.last_price ?? null);
  const words = t('cross.words', {
    side: t(`words.side.${position.side ?? 'long'}`),
    quantity: formatInteger(position.quantity_usd),
    leverage: formatLeverage(position.leverage),
    entry: formatPrice(position.entry_price),
    liquidation: formatPrice(position.liquidation_price),
    margin: formatSats(position.margin_sats),
  });
  const at = (kind: string): number | null => position.marks.find((mark) => mark.kind === kind)?.price ?? null;
  return (
    <>
      {position.liquidation_price !== null && position.entry_price !== null && (
        <Gauge
          liquidation={position.liquidation_price}
          entry={position.entry_price}
          price={price}
          marks={[
            { kind: 'warn', price: at('warn') },
            { kind: 'top_up', price: at('top_up') },
          ]}
          twin={words}
        />
      )}
      <p className="mt-1 text-xs text-muted">
        {words} <Age ageS={position.age_s} receivedAt={receivedAt} oldAfterS={75} />
      </p>
    </>
  );
}
