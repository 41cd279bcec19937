import { Link, useParams } from '@tanstack/react-router';
import { ArrowLeft } from 'lucide-react';
import { useRef, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Trade } from '@/api/schema';
import { Age } from '@/components/age';
import { SignedSats } from '@/components/amount';
import { CoverageFigures, CoverageReasons, promiseOf } from '@/components/coverage-body';
import { CoverageState } from '@/components/coverage-state';
import { Panel } from '@/components/panel';
import { QueryStates } from '@/components/query-states';
import { StatePanel } from '@/components/state-panel';
import { TradeGauge } from '@/components/trade-gauge';
import { Button } from '@/components/ui/button';
import { Skeleton } from '@/components/ui/skeleton';
import { Shortfall } from '@/features/guard/position-card';
import { StopButton } from '@/features/guard/stop-button';
import { LadderPanel } from '@/components/ladder-panel';
import { PositionFacts } from '@/features/position/position-facts';
import { CheckPanel, DrillPanel } from '@/features/position/proof-panels';
import { RescuesPanel } from '@/features/position/rescues-panel';
import { TakeBackDialog } from '@/features/position/take-back-dialog';
import { tradePath, useLadder, useRule } from '@/features/position/use-position';
import { WhatIf } from '@/features/position/what-if';
import { WhyPanel } from '@/components/why-panel';
import { AddMarginDialog } from '@/features/trades/add-margin-dialog';
import { CloseDialog } from '@/features/trades/close-dialog';
import { TradeChart, useBars } from '@/features/trades/trade-chart';
import { gaugeWords } from '@/lib/gauge-words';
import { useMediaQuery } from '@/lib/media';
import { nameOfTrade } from '@/lib/trade-name';
import { useWhyNot } from '@/lib/use-why';
import { useAccounts } from '@/stores/accounts';
import { useActivity } from '@/stores/activity';
import { selectCoverage, useCoverage } from '@/stores/coverage';
import { useDemo } from '@/stores/demo';
import { bodyOf, useDraft } from '@/stores/draft';
import { selectTrade, useTrades } from '@/stores/trades';
import { loadAccounts, loadCandles } from './stream';

/** Calm accounts are read every 30 to 60 s; facts older than that are overdue. */
const ACCOUNT_READ_S = 75;

/** Everything about one position: how it stands, what its guard will do, what it did, and the proof. */
export function PositionPage(): ReactNode {
  const { t } = useTranslation();
  const params = useParams({ from: '/positions/$account/$trade' });
  const trade = useTrades(selectTrade(params.account, params.trade));
  const isRead = useTrades((state) => state.byAccount[params.account] !== undefined);
  const isUnknownAccount = useAccounts((state) => state.items !== null && !state.items.some((each) => each.exchange_account_id === params.account));
  const hasFailed = useAccounts((state) => state.failed && state.items === null);
  if (trade) return <Page key={trade.trade_id} trade={trade} />;
  return (
    <div className="mx-auto w-full max-w-6xl">
      <Back />
      <div className="mt-2 rounded-lg border border-line bg-card">
        {hasFailed ? (
          <StatePanel
            tone="caution"
            title={t('dashboard.failed')}
            detail={t('dashboard.failed_detail')}
            action={<Button variant="outline" onClick={() => void loadAccounts()}>{t('common.try_again')}</Button>}
          />
        ) : isRead || isUnknownAccount ? (
          <StatePanel title={t('position.none')} detail={t('position.none_detail')} />
        ) : (
          <div className="space-y-4 p-4" role="status" aria-label={t('common.loading')}>
            <Skeleton className="h-6 w-48" />
            <Skeleton className="h-64" />
            <Skeleton className="h-24" />
          </div>
        )}
      </div>
    </div>
  );
}

function Back(): ReactNode {
  const { t } = useTranslation();
  return (
    <Link to="/guard" className="inline-flex items-center gap-1.5 px-1 text-xs text-muted hover:text-text">
      <ArrowLeft aria-hidden className="size-3.5" />
      {t('position.back')}
    </Link>
  );
}

function Page({ trade }: { trade: Trade }): ReactNode {
  const { t } = useTranslation();
  const [whatIf, setWhatIf] = useState<number | null>(null);
  const receivedAt = useTrades((state) => state.byAccount[trade.exchange_account_id]?.receivedAt ?? 0);
  const since = useDemo((state) => state.demo?.story_started_at ?? null);
  const bars = useBars(since);
  const isWide = useMediaQuery('(min-width: 640px)');
  const isSideBySide = useMediaQuery('(min-width: 1024px)');
  const chart = useRef<HTMLElement>(null);
  const open = useDraft((state) => state.open);
  const isEditing = useDraft((state) => state.scope !== null);
  const news = useActivity((state) => state.items.find((item) => item.trade_id === trade.trade_id)?.activity_id ?? '');
  const rule = useRule(trade);
  const effective = rule.data?.effective ?? rule.data?.own ?? null;
  const ladder = useLadder(trade, effective ? bodyOf(effective) : null);
  const whyNot = useWhyNot(tradePath(trade), trade.margin_sats, trade.status === 'running');
  const isRunning = trade.status === 'running';
  const edit = (): void => {
    open({ kind: 'trade', accountId: trade.exchange_account_id, tradeId: trade.trade_id });
    // On a phone the editor covers the lower half: what it changes is drawn above it.
    chart.current?.scrollIntoView({ block: 'start' });
  };
  const guardPanel = isRunning && (
    <Panel
      title={t('rule_panel.title')}
      action={
        <Button size="xs" variant="outline" onClick={edit}>
          {t('rule_panel.change')}
        </Button>
      }
    >
      <QueryStates query={rule} failed={t('rule.unreadable')} />
      {rule.isSuccess && effective === null && <p className="text-sm text-caution">{t('rule_panel.none')}</p>}
      {rule.data?.is_guarded === false && <p className="mb-2 text-sm text-caution">{t('rule.is_not_guarded')}</p>}
      {effective && <LadderPanel rule={effective} ladder={ladder.data ?? null} whyNot={whyNot.data ?? null} />}
      {whyNot.isError && <p className="mt-2 text-xs text-caution">{t('why_not.failed')}</p>}
    </Panel>
  );
  return (
    <div className="mx-auto flex w-full max-w-6xl flex-col gap-3">
      <Back />
      <Head trade={trade} receivedAt={receivedAt} />
      <div className={isEditing ? 'grid gap-3' : 'grid items-start gap-3 lg:grid-cols-[minmax(0,1.7fr)_minmax(0,1fr)]'}>
        <div className="flex min-w-0 flex-col gap-3">
          <section ref={chart} className="scroll-mt-16 rounded-lg border border-line bg-card">
            <TradeChart
              trade={trade}
              beside={null}
              since={since}
              bars={bars}
              hasScale={isWide}
              onRetry={() => void loadCandles()}
              ladderMarks={ladder.data?.marks ?? null}
              whatIfPrice={whatIf}
              group="position"
              className="h-72 w-full pt-1 tall:h-96"
            />
            <div className="border-t border-line px-3 py-2">
              <TradeGauge trade={trade} name={nameOfTrade(trade, t)} />
              <p className="text-xs text-muted">{gaugeWords(trade, t)}</p>
            </div>
          </section>
          {!isSideBySide && guardPanel}
          {isRunning && (
            <Panel title={t('what_if.title')}>
              <QueryStates query={ladder} failed={t('what_if.failed')} />
              {ladder.data && <WhatIf trade={trade} ladder={ladder.data} price={whatIf} onPrice={setWhatIf} />}
            </Panel>
          )}
          <Panel title={t('rescues.title')}>
            <RescuesPanel trade={trade} />
          </Panel>
          <Panel title={t('why.title')}>
            <WhyPanel of={tradePath(trade)} accountId={trade.exchange_account_id} news={news} />
          </Panel>
        </div>
        <div className="flex min-w-0 flex-col gap-3">
          {isSideBySide && guardPanel}
          <Panel title={t('position.facts')}>
            <PositionFacts trade={trade} />
          </Panel>
          {isRunning && (
            <>
              <Panel title={t('check.title')}>
                <CheckPanel trade={trade} />
              </Panel>
              <Panel title={t('drill.title')}>
                <DrillPanel trade={trade} />
              </Panel>
            </>
          )}
        </div>
      </div>
    </div>
  );
}

function Head({ trade, receivedAt }: { trade: Trade; receivedAt: number }): ReactNode {
  const { t } = useTranslation();
  const [dialog, setDialog] = useState<'add' | 'take_back' | 'close' | null>(null);
  const known = useCoverage(selectCoverage(trade.exchange_account_id, trade.trade_id));
  const coverageAt = useCoverage((state) => state.receivedAt);
  const account = useAccounts((state) => state.items?.find((each) => each.exchange_account_id === trade.exchange_account_id));
  const coverage = known ?? trade.coverage ?? null;
  const name = nameOfTrade(trade, t);
  const isRunning = trade.status === 'running';
  const { exchange_account_id: accountId, trade_id: tradeId } = trade;
  const done = (): void => setDialog(null);
  return (
    <header className={coverage?.state === 'red' ? 'rounded-lg border border-danger bg-card px-4 py-3' : 'rounded-lg border border-line bg-card px-4 py-3'}>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
        <h1 className="text-lg font-semibold">{name}</h1>
        {isRunning ? <CoverageState state={coverage?.state ?? 'unknown'} isLarge /> : <span className="text-sm text-muted">{t(`trade.closed_by.${trade.close_reason ?? 'unknown'}`)}</span>}
        <SignedSats value={trade.result_sats} className="text-base font-semibold" />
        <span className="text-2xs text-faint">
          {account?.name} · <Age ageS={trade.age_s} receivedAt={receivedAt} oldAfterS={ACCOUNT_READ_S} />
        </span>
        {isRunning && (
          <div className="flex flex-wrap gap-1.5 md:ml-auto">
            {trade.guard && <StopButton scope={{ exchange_account_id: accountId, trade_id: tradeId }} isStopped={trade.guard.is_spending_stopped} of={name} />}
            <Button size="xs" variant="outline" onClick={() => setDialog('add')}>{t('position.add')}</Button>
            {trade.added_sats > 0 && <Button size="xs" variant="outline" onClick={() => setDialog('take_back')}>{t('take_back.button')}</Button>}
            <Button size="xs" variant="outline" onClick={() => setDialog('close')}>{t('position.close')}</Button>
          </div>
        )}
      </div>
      {isRunning && coverage && (
        <>
          <p className="mt-2 text-sm">{promiseOf(coverage, t)}</p>
          <CoverageReasons coverage={coverage} className="mt-1.5" />
          <CoverageFigures coverage={coverage} receivedAt={coverageAt} className="mt-3" />
          <Shortfall coverage={coverage} accountId={accountId} accountName={account?.name ?? ''} />
        </>
      )}
      {isRunning && !coverage && <p className="mt-2 text-sm text-caution">{t('coverage.not_known')}</p>}
      {dialog === 'add' && <AddMarginDialog trade={trade} name={name} onDone={done} />}
      {dialog === 'close' && <CloseDialog trade={trade} name={name} onDone={done} />}
      {dialog === 'take_back' && <TakeBackDialog trade={trade} name={name} onDone={done} />}
    </header>
  );
}
