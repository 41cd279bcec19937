import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Activity } from '@/api/schema';
import { activitySentence, activityTitle } from '@/lib/activity-words';
import { formatClock } from '@/lib/units';
import { useActivity } from '@/stores/activity';

const WAKES = new Set(['room_warned', 'rescue_confirmed', 'trade_closed', 'watch_lost', 'watch_back', 'limit_used']);

/** The latest message as it would stand on a locked phone. */
export function PhoneMessage({ guardedAccountId }: { guardedAccountId: string | null }): ReactNode {
  const { t } = useTranslation();
  const item: Activity | undefined = useActivity((state) =>
    state.items.find((each) => WAKES.has(each.kind) && each.exchange_account_id === guardedAccountId),
  );
  return (
    <figure className="mx-auto w-full max-w-72 rounded-t-[1.6rem] border-x-4 border-t-4 border-line bg-surface px-3 pt-3 pb-4" aria-label={t('phone.title')}>
      <div aria-hidden className="mx-auto mb-2 h-1.5 w-16 rounded-full bg-line" />
      {item ? (
        <div key={item.activity_id} className="animate-slide-in-up rounded-xl border border-line bg-card p-2.5 text-xs">
          <p className="flex justify-between text-2xs text-faint">
            <span>Axisor</span>
            <time dateTime={item.at}>{formatClock(item.at).slice(0, 5)}</time>
          </p>
          <p className="mt-1 font-semibold">{activityTitle(item, t)}</p>
          <p className="mt-0.5 leading-[1.05rem] text-muted">{activitySentence(item, t)}</p>
        </div>
      ) : (
        <p className="py-4 text-center text-xs text-faint">{t('phone.silent')}</p>
      )}
      <figcaption className="mt-2 text-center text-2xs text-faint">{t('phone.caption')}</figcaption>
    </figure>
  );
}
