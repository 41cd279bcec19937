import { useEffect, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { StatePanel } from '@/components/state-panel';
import { Button } from '@/components/ui/button';
import { Skeleton } from '@/components/ui/skeleton';
import { ToggleGroup } from '@/components/ui/toggle-group';
import { ActivityList } from '@/features/activity/activity-list';
import { PhoneMessage } from '@/features/story/phone-message';
import { StoryBar } from '@/features/story/story-bar';
import { SummaryCard } from '@/features/story/summary-card';
import { useStoryCommand } from '@/features/story/story-api';
import { FatesPanel } from '@/features/trades/fates-panel';
import { TradeColumn } from '@/features/trades/trade-column';
import { useBars } from '@/features/trades/trade-chart';
import { cn } from '@/lib/cn';
import { useAccounts } from '@/stores/accounts';
import { useDemo } from '@/stores/demo';
import { useDraft } from '@/stores/draft';
import { useSession } from '@/stores/session';
import { useView } from '@/stores/view';
import { acceptDemo, loadAccounts, loadActivity, loadCandles } from './stream';
import { twinOf, useChosen } from './use-chosen';

/** The page of trades: with a compared account it tells the story in two columns on one time axis. */
export function Dashboard(): ReactNode {
  const { t } = useTranslation();
  const demo = useDemo((state) => state.demo);
  const hasFailed = useAccounts((state) => state.failed && state.items === null);
  const { account, twinAccount, trades, twinTrades, receivedAt, chosen, chosenTwin, lead, leadTwin } = useChosen();
  const choose = useView((state) => state.choose);
  const column = useView((state) => state.column);
  const showColumn = useView((state) => state.showColumn);
  const isSummaryHidden = useView((state) => state.isSummaryHidden);
  const hideSummary = useView((state) => state.hideSummary);
  const isDemo = useSession((state) => state.user?.is_demo ?? true);
  const hasDraft = useDraft((state) => state.scope !== null);
  const since = demo?.story_started_at ?? null;
  const bars = useBars(since);
  const { run, isPending } = useStoryCommand(acceptDemo);
  const runNo = demo?.run_no;
  useEffect(() => hideSummary(false), [runNo, hideSummary]);

  const isPair = twinAccount !== null || account === null;
  const pairs = (trades ?? []).map((guarded) => ({ guarded, unguarded: twinOf(guarded, twinTrades) }));
  const hasSummary = demo?.status === 'ended' && !isSummaryHidden && pairs.length > 0;
  const fates = isPair && !hasFailed ? <FatesPanel guarded={chosen} unguarded={chosenTwin} /> : null;
  const retryCandles = (): void => void loadCandles();
  return (
    <div className={cn('grid min-h-0 gap-3', !hasDraft && 'xl:grid-cols-[minmax(0,1fr)_20.5rem]')}>
      <div className="flex min-w-0 flex-col gap-3">
        {demo && <StoryBar demo={demo} lead={lead} leadTwin={leadTwin} run={run} isPending={isPending} />}
        {!demo && isDemo && <Skeleton className="h-[3.6rem] rounded-lg border border-line bg-card" />}
        {demo && hasSummary && <SummaryCard demo={demo} pairs={pairs} lead={lead} run={run} onHide={() => hideSummary(true)} />}
        {hasFailed && (
          <div className="rounded-lg border border-line bg-card">
            <StatePanel
              tone="caution"
              title={t('dashboard.failed')}
              detail={t('dashboard.failed_detail')}
              action={<Button variant="outline" onClick={() => void loadAccounts()}>{t('common.try_again')}</Button>}
            />
          </div>
        )}
        {hasSummary && fates}
        {isPair && !hasFailed && (
          <ToggleGroup
            className="flex lg:hidden"
            label={t('column.which')}
            value={column}
            onChange={showColumn}
            options={[
              { value: 'guarded', label: t('column.guarded') },
              { value: 'unguarded', label: t('column.unguarded') },
            ]}
          />
        )}
        <div className={cn('grid gap-3', isPair && 'lg:grid-cols-2', hasFailed && 'hidden')}>
          <TradeColumn
            account={account}
            trades={trades}
            receivedAt={receivedAt}
            chosen={chosen}
            beside={chosenTwin}
            bars={bars}
            isPair={isPair}
            isGuarded={account?.is_guarded ?? true}
            since={since}
            onChoose={(trade) => choose(trade.trade_id)}
            onRetry={retryCandles}
            className={cn(isPair && column === 'unguarded' && 'hidden lg:flex')}
          />
          {isPair && (
            <TradeColumn
              account={twinAccount}
              trades={twinTrades}
              receivedAt={receivedAt}
              chosen={chosenTwin}
              beside={chosen}
              bars={bars}
              isPair
              isGuarded={false}
              since={since}
              onChoose={(trade) => {
                const guarded = pairs.find((pair) => pair.unguarded?.trade_id === trade.trade_id)?.guarded;
                if (guarded) choose(guarded.trade_id);
              }}
              onRetry={retryCandles}
              className={cn(column === 'guarded' && 'hidden lg:flex')}
            />
          )}
        </div>
        {!hasSummary && fates}
        <p className="px-1 text-2xs text-faint">
          <a href="https://www.tradingview.com/" target="_blank" rel="noreferrer" className="underline-offset-2 hover:underline">
            {t('chart.attribution')}
          </a>
        </p>
      </div>
      <aside className={cn('flex min-h-0 flex-col rounded-lg border border-line bg-card xl:sticky xl:top-16 xl:h-[calc(100dvh-4.75rem)]', hasDraft && 'xl:hidden')} aria-label={t('nav.activity')}>
        <h2 className="border-b border-line px-3 py-2.5 text-sm font-semibold">{t('nav.activity')}</h2>
        <div className="scrollbar-thin min-h-0 flex-1 overflow-y-auto max-xl:max-h-96">
          <ActivityList onRetry={() => void loadActivity()} />
        </div>
        {demo && (
          <div className="overflow-hidden border-t border-line px-3 pt-3">
            <PhoneMessage guardedAccountId={demo.guarded_account_id} />
          </div>
        )}
      </aside>
    </div>
  );
}
