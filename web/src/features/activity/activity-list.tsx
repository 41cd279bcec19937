import { CircleAlert, Info, OctagonAlert } from 'lucide-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Activity } from '@/api/schema';
import { StatePanel } from '@/components/state-panel';
import { Button } from '@/components/ui/button';
import { Skeleton } from '@/components/ui/skeleton';
import { activitySentence, activityTitle } from '@/lib/activity-words';
import { cn } from '@/lib/cn';
import { formatClock, formatMilliseconds } from '@/lib/units';
import { useAccounts } from '@/stores/accounts';
import { useActivity } from '@/stores/activity';
import { useView } from '@/stores/view';

/** What happened, newest first, one sentence each; entries with a decision open "what exactly happened". */
export function ActivityList({ onRetry, className, side }: { onRetry: () => void; className?: string; side?: (item: Activity) => ReactNode }): ReactNode {
  const { t } = useTranslation();
  const status = useActivity((state) => state.status);
  const items = useActivity((state) => state.items);
  if (status === 'failed') {
    return (
      <StatePanel
        tone="caution"
        title={t('activity_list.failed')}
        detail={t('activity_list.failed_detail')}
        action={<Button size="sm" variant="outline" onClick={onRetry}>{t('common.try_again')}</Button>}
      />
    );
  }
  if (status === 'loading') {
    return (
      <ul className={cn('flex flex-col gap-4 p-3', className)} aria-label={t('common.loading')}>
        {[0, 1, 2, 3].map((index) => (
          <li key={index} className="flex gap-3">
            <Skeleton className="size-4 rounded-full" />
            <div className="flex-1 space-y-2">
              <Skeleton className="h-3.5 w-1/2" />
              <Skeleton className="h-3 w-full" />
            </div>
          </li>
        ))}
      </ul>
    );
  }
  if (items.length === 0) return <StatePanel icon={Info} title={t('activity_list.empty')} detail={t('activity_list.empty_detail')} />;
  return (
    <ol className={className}>
      {items.map((item) => (
        <Entry key={item.activity_id} item={item} extra={side?.(item)} />
      ))}
    </ol>
  );
}

function Entry({ item, extra }: { item: Activity; extra: ReactNode }): ReactNode {
  const { t } = useTranslation();
  const isUnguarded = useAccounts((state) => state.items?.some((each) => each.exchange_account_id === item.exchange_account_id && !each.is_guarded) ?? false);
  const openDecision = useView((state) => state.openDecision);
  const { decision_id: decisionId, exchange_account_id: accountId } = item;
  const sendMs = item.data.tick_to_request_ms;
  const proofMs = item.data.tick_to_confirmed_ms;
  return (
    <li className="relative flex gap-2.5 border-t border-line px-3 py-2.5 first:border-t-0" data-severity={item.severity}>
      <Dot severity={item.severity} />
      <div className="min-w-0 flex-1">
        <p className="flex items-baseline justify-between gap-2">
          <span className="font-medium text-text">
            {activityTitle(item, t)}
            {isUnguarded && <span className="ml-1.5 text-xs font-normal text-faint">{t('activity_list.no_guard')}</span>}
          </span>
          <time dateTime={item.at} className="shrink-0 text-2xs text-faint">
            {formatClock(item.at)}
          </time>
        </p>
        <p className="mt-0.5 text-xs leading-[1.15rem] text-muted">{activitySentence(item, t)}</p>
        {typeof sendMs === 'number' && (
          <p className="mt-1 text-2xs text-faint">
            {t('activity_list.timing', {
              send: formatMilliseconds(sendMs),
              proof: typeof proofMs === 'number' ? formatMilliseconds(proofMs) : '–',
            })}
          </p>
        )}
        {decisionId !== null && accountId !== null && (
          <button
            type="button"
            onClick={() => openDecision(accountId, decisionId)}
            className="mt-1 text-xs font-medium text-accent-text underline-offset-2 hover:underline"
          >
            {t('activity_list.exactly')}
          </button>
        )}
        {extra}
      </div>
    </li>
  );
}

function Dot({ severity }: { severity: Activity['severity'] }): ReactNode {
  const { t } = useTranslation();
  const label = t(`severity.${severity}`);
  if (severity === 'deed') return <span role="img" aria-label={label} className="mt-1 size-3 shrink-0 rounded-full bg-accent" />;
  if (severity === 'danger') return <OctagonAlert aria-label={label} className="mt-0.5 size-3.5 shrink-0 text-danger" />;
  if (severity === 'caution') return <CircleAlert aria-label={label} className="mt-0.5 size-3.5 shrink-0 text-caution" />;
  return <span role="img" aria-label={label} className="mt-1.5 ml-0.5 size-2 shrink-0 rounded-full border border-faint" />;
}
