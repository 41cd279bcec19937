import type { TFunction } from 'i18next';
import { Check, Minus } from 'lucide-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Coverage } from '@/api/schema';
import { sayingOf } from '@/lib/activity-words';
import { cn } from '@/lib/cn';
import { formatPrice, formatSats, formatSatsAbout } from '@/lib/units';
import { Age } from './age';

/** Facts of calm accounts are up to a minute old; older than that they are overdue. */
const FACTS_OLD_S = 75;

/** The promise in one sentence, with its figures. */
export function promiseOf(coverage: Coverage, t: TFunction): string {
  if (coverage.state === 'off') return t('coverage.promise_off');
  if (coverage.protected_to_price === null) return t('coverage.promise_unknown');
  const price = formatPrice(coverage.protected_to_price);
  if (coverage.uses_sats === null || coverage.uses_sats === 0) return t('coverage.promise_free', { price });
  return t('coverage.promise', { price, sats: formatSats(coverage.uses_sats) });
}

/** Why the state is not green, the gravest first, in words. */
export function CoverageReasons({ coverage, className }: { coverage: Coverage; className?: string }): ReactNode {
  const { t } = useTranslation();
  if (coverage.reasons.length === 0) return null;
  return (
    <ul className={cn('space-y-1 text-sm', className)} aria-label={t('coverage.why')}>
      {coverage.reasons.map((reason) => (
        <li key={reason.code} className="flex gap-2" data-reason={reason.code}>
          <span aria-hidden className={coverage.state === 'red' ? 'text-danger' : 'text-caution'}>–</span>
          <span>{sayingOf('coverage.reason', reason, t)}</span>
        </li>
      ))}
    </ul>
  );
}

/** A sum over several positions has no price to which all of them are protected. */
export function CoverageFigures({ coverage, receivedAt, isSum = false, className }: { coverage: Coverage; receivedAt: number; isSum?: boolean; className?: string }): ReactNode {
  const { t } = useTranslation();
  const rows: [string, ReactNode][] = [
    ...(isSum ? [] : [[t('coverage.protected_to'), formatPrice(coverage.protected_to_price)] as [string, ReactNode]]),
    [t('coverage.uses'), formatSats(coverage.uses_sats)],
    [t('coverage.worst_case'), formatSats(coverage.worst_case_sats)],
    [t('coverage.if_lost'), coverage.returns_if_lost_sats === null ? '–' : formatSatsAbout(coverage.returns_if_lost_sats)],
  ];
  return (
    <div className={cn('@container', className)}>
      <dl className={cn('grid grid-cols-2 gap-x-4 gap-y-2', isSum ? '@md:grid-cols-3' : '@md:grid-cols-4')}>
        {rows.map(([name, value]) => (
          <div key={name} className="min-w-0">
            <dt className="text-2xs text-faint">{name}</dt>
            <dd className="text-sm font-semibold whitespace-nowrap">{value}</dd>
          </div>
        ))}
      </dl>
      <div className="mt-2.5 flex flex-wrap items-center gap-x-4 gap-y-1 text-2xs text-muted">
        <Layer name={t('coverage.layer.guard')} stands={coverage.layers.guard} />
        <Layer name={t('coverage.layer.stop')} stands={coverage.layers.stop} />
        <Layer name={t('coverage.layer.alarm')} stands={coverage.layers.alarm} />
        <span className="ml-auto text-faint">
          {t('coverage.facts')} <Age ageS={coverage.age_s} receivedAt={receivedAt} oldAfterS={FACTS_OLD_S} />
        </span>
      </div>
    </div>
  );
}

function Layer({ name, stands }: { name: string; stands: boolean }): ReactNode {
  const { t } = useTranslation();
  const Icon = stands ? Check : Minus;
  return (
    <span className={cn('inline-flex items-center gap-1', !stands && 'text-faint line-through decoration-1')}>
      <Icon aria-hidden className="size-3" />
      {name}
      <span className="sr-only">{t(stands ? 'coverage.stands' : 'coverage.missing')}</span>
    </span>
  );
}
