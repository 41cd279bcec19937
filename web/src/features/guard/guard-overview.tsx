import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Account, Coverage, CoverageOverview, Trade } from '@/api/schema';
import { CoverageFigures, CoverageReasons } from '@/components/coverage-body';
import { CoverageState } from '@/components/coverage-state';
import { StatePanel } from '@/components/state-panel';
import { Button } from '@/components/ui/button';
import { Skeleton } from '@/components/ui/skeleton';
import { cn } from '@/lib/cn';
import { formatSats } from '@/lib/units';
import { useDraft } from '@/stores/draft';
import { AccountRules } from './account-rules';
import { CrossCard } from './cross-card';
import { PositionCard } from './position-card';
import { StopButton } from './stop-button';

export interface AccountOnPage {
  account: Account;
  trades: readonly Trade[];
}

/** The meter of everything: for the person, for each account, for each position. */
export function GuardOverview({
  overview,
  receivedAt,
  hasFailed,
  accounts,
  onRetry,
}: {
  overview: CoverageOverview | null;
  receivedAt: number;
  hasFailed: boolean;
  /** Null while they are read. */
  accounts: readonly AccountOnPage[] | null;
  onRetry: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const open = useDraft((state) => state.open);
  const guarded = accounts?.filter((each) => each.account.is_guarded) ?? null;
  const isAllStopped = guarded !== null && guarded.length > 0 && guarded.every((each) => each.account.is_spending_stopped);
  return (
    <div className="mx-auto flex w-full max-w-5xl flex-col gap-3">
      <div className="flex flex-wrap items-center gap-2 px-1">
        <h1 className="text-lg font-semibold">{t('guard.title')}</h1>
        <div className="ml-auto flex gap-2">
          <Button variant="outline" size="xs" onClick={() => open({ kind: 'user' })}>
            {t('guard.my_rule')}
          </Button>
          <StopButton scope={{}} isStopped={isAllStopped} of={t('words.scope.all')} />
        </div>
      </div>
      {hasFailed && overview === null ? (
        <div className="rounded-lg border border-line bg-card">
          <StatePanel
            tone="caution"
            title={t('guard.failed')}
            detail={t('guard.failed_detail')}
            action={<Button variant="outline" onClick={onRetry}>{t('common.try_again')}</Button>}
          />
        </div>
      ) : (
        <UserCard coverage={overview?.user ?? null} receivedAt={receivedAt} isStale={hasFailed} />
      )}
      {guarded === null && !(hasFailed && overview === null) && <CardSkeleton />}
      {guarded?.length === 0 && (
        <div className="rounded-lg border border-line bg-card">
          <StatePanel title={t('guard.empty')} detail={t('guard.empty_detail')} />
        </div>
      )}
      {guarded?.map((each) => (
        <AccountSection key={each.account.exchange_account_id} {...each} overview={overview} receivedAt={receivedAt} hasOthers={guarded.length > 1} />
      ))}
    </div>
  );
}

function UserCard({ coverage, receivedAt, isStale }: { coverage: Coverage | null; receivedAt: number; isStale: boolean }): ReactNode {
  const { t } = useTranslation();
  if (!coverage) return <CardSkeleton />;
  return (
    <section
      aria-label={t('guard.you')}
      data-testid="user-coverage"
      className={cn('rounded-lg border bg-card px-4 py-3.5', coverage.state === 'red' ? 'border-danger' : 'border-line')}
    >
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
        <CoverageState state={coverage.state} isLarge />
        <p className="text-base font-medium">{t(`coverage.all.${coverage.state}`)}</p>
      </div>
      {isStale && <p className="mt-2 text-sm text-caution">{t('guard.stale')}</p>}
      <CoverageReasons coverage={coverage} className="mt-2.5" />
      <CoverageFigures coverage={coverage} receivedAt={receivedAt} isSum className="mt-3.5" />
    </section>
  );
}

/** Reasons of an account stand here only beside other accounts; alone they are those of the person, above. */
function AccountSection({
  account,
  trades,
  overview,
  receivedAt,
  hasOthers,
}: AccountOnPage & { overview: CoverageOverview | null; receivedAt: number; hasOthers: boolean }): ReactNode {
  const { t } = useTranslation();
  const { exchange_account_id: id } = account;
  const known = overview?.accounts.find((each) => each.exchange_account_id === id) ?? null;
  const coverage = known?.coverage ?? account.coverage ?? null;
  const running = trades.filter((trade) => trade.status === 'running');
  const ofTrade = (trade: Trade): Coverage | null =>
    known?.trades.find((each) => each.trade_id === trade.trade_id)?.coverage ?? trade.coverage ?? null;
  return (
    <section aria-label={account.name} className="flex flex-col gap-2">
      <header className="mt-2 flex flex-wrap items-center gap-2 px-1">
        <h2 className="text-sm font-semibold">{account.name}</h2>
        {coverage && <CoverageState state={coverage.state} />}
        <span className="text-xs text-muted">{t('column.free', { amount: formatSats(account.balance_sats) })}</span>
        <div className="ml-auto">
          <StopButton scope={{ exchange_account_id: id }} isStopped={account.is_spending_stopped} of={account.name} />
        </div>
      </header>
      {hasOthers && coverage && coverage.state !== 'green' && coverage.reasons.length > 0 && (
        <div className="rounded-lg border border-line bg-card px-3 py-2.5">
          <CoverageReasons coverage={coverage} />
        </div>
      )}
      <ul className="grid gap-2 lg:grid-cols-2">
        {running.map((trade) => (
          <PositionCard key={trade.trade_id} trade={trade} coverage={ofTrade(trade)} accountName={account.name} receivedAt={receivedAt} />
        ))}
        <CrossCard
          accountId={id}
          coverage={known?.cross ?? null}
          receivedAt={receivedAt}
        />
      </ul>
      {running.length > 1 && <p className="px-1 text-xs text-faint">{t('guard.shared')}</p>}
      {running.length === 0 && (
        <div className="rounded-lg border border-line bg-card">
          <StatePanel title={t('column.empty')} detail={t('column.empty_detail')} />
        </div>
      )}
      <AccountRules account={account} />
    </section>
  );
}

function CardSkeleton(): ReactNode {
  const { t } = useTranslation();
  return (
    <div className="rounded-lg border border-line bg-card px-4 py-3.5" aria-label={t('common.loading')}>
      <Skeleton className="h-6 w-32" />
      <div className="mt-4 grid grid-cols-2 gap-4 sm:grid-cols-4">
        {[0, 1, 2, 3].map((index) => (
          <Skeleton key={index} className="h-9" />
        ))}
      </div>
    </div>
  );
}
