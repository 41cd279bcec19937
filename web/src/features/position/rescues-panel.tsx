import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { FollowUp, RescueReport, Trade } from '@/api/schema';
import { SignedSats } from '@/components/amount';
import { QueryStates } from '@/components/query-states';
import { useWallBeat } from '@/lib/clock';
import { formatClock, formatDuration, formatPrice, formatSats } from '@/lib/units';
import { useView } from '@/stores/view';
import { useRescues } from './use-position';

/** After each rescue: what it kept or cost at once, and again a day later. */
export function RescuesPanel({ trade }: { trade: Trade }): ReactNode {
  const { t } = useTranslation();
  const query = useRescues(trade);
  return (
    <div>
      <QueryStates query={query} failed={t('rescues.failed')} />
      {query.data?.items.length === 0 && <p className="text-sm text-muted">{t('rescues.empty')}</p>}
      <ol className="divide-y divide-line">
        {query.data?.items.map((report) => <Report key={report.decision_id} report={report} accountId={trade.exchange_account_id} />)}
      </ol>
    </div>
  );
}

function Report({ report, accountId }: { report: RescueReport; accountId: string }): ReactNode {
  const { t } = useTranslation();
  const now = useWallBeat();
  const openDecision = useView((state) => state.openDecision);
  const dueS = report.after_24h_at === null ? null : Math.max(0, (Date.parse(report.after_24h_at) - now) / 1000);
  return (
    <li className="py-2.5 text-sm first:pt-0 last:pb-0">
      <p>
        <button type="button" onClick={() => openDecision(accountId, report.decision_id)} className="font-medium underline-offset-2 hover:underline">
          {t('rescues.added', { sats: formatSats(report.amount_sats), price: formatPrice(report.price) })}
        </button>{' '}
        <time dateTime={report.at} className="text-2xs text-faint">
          {formatClock(report.at)}
        </time>
      </p>
      <p className="text-xs text-muted">
        {t('rescues.moved', { before: formatPrice(report.old_liquidation_price), after: formatPrice(report.new_liquidation_price) })}
      </p>
      <div className="mt-1.5 grid gap-2 sm:grid-cols-2">
        {(report.then !== null || report.after_24h === null) && (
          <Outcome title={t('rescues.then')} follow={report.then} pending={t('rescues.then_pending')} />
        )}
        <Outcome
          title={t('rescues.later')}
          follow={report.after_24h}
          pending={dueS === null ? t('rescues.later_unknown') : t('rescues.later_pending', { left: formatDuration(dueS) })}
        />
      </div>
    </li>
  );
}

/** Kept stands in the colour of a gain only when it is one; a cost reads as a cost. */
function Outcome({ title, follow, pending }: { title: string; follow: FollowUp | null; pending: string }): ReactNode {
  const { t } = useTranslation();
  const kept = follow?.kept_sats ?? null;
  return (
    <div className="rounded-md bg-surface px-2.5 py-2" data-testid="outcome">
      <p className="text-2xs text-faint">{title}</p>
      {follow === null ? (
        <p className="text-xs text-muted">{pending}</p>
      ) : (
        <>
          <p className="text-sm font-semibold">
            {t(kept === null ? 'fates.kept_unknown' : kept < 0 ? 'rescues.cost' : kept === 0 ? 'rescues.even' : 'rescues.kept')}{' '}
            {kept !== null && kept !== 0 && <SignedSats value={kept} />}
          </p>
          <p className="text-xs text-muted">
            {t('rescues.with_without', { with: formatSats(follow.with_value_sats), without: formatSats(follow.without_value_sats), added: formatSats(follow.added_sats) })}{' '}
            {follow.would_have_died !== null && t(follow.would_have_died ? 'rescues.would_have_died' : 'rescues.would_have_lived')}
          </p>
          {follow.note !== null && <p className="text-xs text-muted">{t(`rescues.note.${follow.note}`, { defaultValue: follow.note })}</p>}
        </>
      )}
    </div>
  );
}
