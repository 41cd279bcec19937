import { Link } from '@tanstack/react-router';
import { ChevronRight } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Coverage, Trade } from '@/api/schema';
import { SignedSats } from '@/components/amount';
import { CoverageFigures, CoverageReasons, promiseOf } from '@/components/coverage-body';
import { CoverageState } from '@/components/coverage-state';
import { TradeGauge } from '@/components/trade-gauge';
import { Button } from '@/components/ui/button';
import { cn } from '@/lib/cn';
import { gaugeWords } from '@/lib/gauge-words';
import { nameOfTrade } from '@/lib/trade-name';
import { formatSats } from '@/lib/units';
import { FundDialog } from './fund-dialog';
import { StopButton } from './stop-button';

/** One position: how far it is protected and with what, why not farther, and what may be done about it. */
export function PositionCard({ trade, coverage, accountName, receivedAt }: { trade: Trade; coverage: Coverage | null; accountName: string; receivedAt: number }): ReactNode {
  const { t } = useTranslation();
  const name = nameOfTrade(trade, t);
  const { exchange_account_id: accountId, trade_id: tradeId } = trade;
  return (
    <li
      data-testid={`position-${tradeId}`}
      className={cn('relative rounded-lg border bg-card px-3 py-2.5', coverage?.state === 'red' ? 'border-danger' : 'border-line')}
    >
      <div className="flex flex-wrap items-center gap-2">
        <Link
          to="/positions/$account/$trade"
          params={{ account: accountId, trade: tradeId }}
          className="text-sm font-semibold underline-offset-2 hover:underline"
        >
          {name}
          <ChevronRight aria-hidden className="ml-0.5 inline size-4 text-faint" />
        </Link>
        <CoverageState state={coverage?.state ?? 'unknown'} />
        <SignedSats value={trade.result_sats} className="ml-auto text-sm font-medium" />
        {trade.guard && <StopButton scope={{ exchange_account_id: accountId, trade_id: tradeId }} isStopped={trade.guard.is_spending_stopped} of={name} />}
      </div>
      <TradeGauge trade={trade} name={name} className="my-0.5" />
      <p className="text-xs text-muted">{gaugeWords(trade, t)}</p>
      {coverage ? (
        <>
          <p className="mt-2 text-sm">{promiseOf(coverage, t)}</p>
          <CoverageReasons coverage={coverage} className="mt-1.5" />
          <CoverageFigures coverage={coverage} receivedAt={receivedAt} className="mt-3" />
          <Shortfall coverage={coverage} accountId={accountId} accountName={accountName} />
        </>
      ) : (
        <p className="mt-2 text-sm text-caution">{t('coverage.not_known')}</p>
      )}
    </li>
  );
}

/** What is missing at the exchange, and the way to put it there. */
export function Shortfall({ coverage, accountId, accountName }: { coverage: Coverage; accountId: string; accountName: string }): ReactNode {
  const { t } = useTranslation();
  const [isOpen, setOpen] = useState(false);
  if (coverage.shortfall_sats <= 0) return null;
  return (
    <div className="mt-3 flex flex-wrap items-center justify-between gap-2 rounded-md border border-caution/60 bg-caution/10 px-3 py-2">
      <p className="text-sm">
        {t('coverage.shortfall', { amount: formatSats(coverage.shortfall_sats) })}
        {coverage.fund_address_hint !== null && <span className="block text-xs text-muted">{coverage.fund_address_hint}</span>}
      </p>
      <Button size="sm" onClick={() => setOpen(true)}>
        {t('fund.button', { amount: formatSats(coverage.shortfall_sats) })}
      </Button>
      {isOpen && <FundDialog accountId={accountId} accountName={accountName} shortfallSats={coverage.shortfall_sats} onDone={() => setOpen(false)} />}
    </div>
  );
}
