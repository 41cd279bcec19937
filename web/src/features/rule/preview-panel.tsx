import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { LadderPreview } from '@/api/schema';
import { LadderEvents } from '@/components/ladder-events';
import { Skeleton } from '@/components/ui/skeleton';
import { formatPrice, formatSats } from '@/lib/units';
import { NightsPicture } from './nights-card';

/** What the drafted rule would do on the way down: each thing that happens, the worst case, and 100 nights like 2018. */
export function PreviewPanel({ preview }: { preview: LadderPreview | null }): ReactNode {
  const { t } = useTranslation();
  if (!preview) {
    return (
      <div className="mt-5 space-y-3" role="status" aria-label={t('common.loading')}>
        <Skeleton className="h-16" />
        <Skeleton className="h-24" />
      </div>
    );
  }
  const { at_entry: atEntry } = preview;
  const funding = preview.expected_funding_sats_until_morning;
  return (
    <div className="mt-5 space-y-5" data-testid="preview">
      <dl className="grid grid-cols-2 gap-2">
        <Figure name={t('rule.worst_case')} value={formatSats(preview.worst_case_sats)} />
        <Figure name={t('rule.worst_case_unguarded')} value={formatSats(preview.unguarded_worst_case_sats)} isQuiet />
        <Figure name={t('rule.covered_to')} value={formatPrice(preview.covered_to_price)} />
        <Figure name={t('rule.stop_returns')} value={formatSats(preview.stop_returns_sats)} />
      </dl>
      <p className="text-xs text-muted">
        {t('rule.worst_case_words', { worst: formatSats(Math.abs(preview.worst_case_sats)), bare: formatSats(Math.abs(preview.unguarded_worst_case_sats)) })}
      </p>
      {preview.events.length > 0 && (
        <section aria-label={t('rule.steps')}>
          <h3 className="mb-1.5 text-xs font-semibold">{t('rule.steps')}</h3>
          <LadderEvents events={preview.events} />
        </section>
      )}
      <ul className="space-y-1 text-xs text-muted">
        {atEntry.sats > 0 && (
          <li>{t('rule.at_entry', { sats: formatSats(atEntry.sats), liquidation: formatPrice(atEntry.liquidation_price) })}</li>
        )}
        {funding !== null && <li>{t('rule.funding', { sats: formatSats(funding) })}</li>}
      </ul>
      {preview.nights && <NightsPicture nights={preview.nights} />}
    </div>
  );
}

function Figure({ name, value, isQuiet = false }: { name: string; value: string; isQuiet?: boolean }): ReactNode {
  return (
    <div className="rounded-md bg-surface px-3 py-2">
      <dt className="text-2xs text-faint">{name}</dt>
      <dd className={isQuiet ? 'text-sm text-muted' : 'text-sm font-semibold'}>{value}</dd>
    </div>
  );
}
