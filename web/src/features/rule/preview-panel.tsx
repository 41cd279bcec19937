import type { TFunction } from 'i18next';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Nights, Preview } from '@/api/schema';
import { Skeleton } from '@/components/ui/skeleton';
import { formatLeverage, formatPrice, formatSats } from '@/lib/units';

/** What the drafted rule would do: steps, worst case with and without, and 100 nights like 2018. */
export function PreviewPanel({ preview }: { preview: Preview | null }): ReactNode {
  const { t } = useTranslation();
  if (!preview) {
    return (
      <div className="mt-5 space-y-3" aria-label={t('common.loading')}>
        <Skeleton className="h-16" />
        <Skeleton className="h-24" />
      </div>
    );
  }
  return (
    <div className="mt-5 space-y-5">
      <dl className="grid grid-cols-2 gap-2">
        <Figure name={t('rule.worst_case')} value={formatSats(preview.worst_case_sats)} />
        <Figure name={t('rule.worst_case_unguarded')} value={formatSats(preview.unguarded_worst_case_sats)} isQuiet />
        <Figure name={t('rule.covered_to')} value={formatPrice(preview.covered_to_price)} />
        <Figure name={t('rule.stop_returns')} value={formatSats(preview.stop_returns_sats)} />
      </dl>
      {preview.steps.length > 0 && <Steps preview={preview} />}
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

function Steps({ preview }: { preview: Preview }): ReactNode {
  const { t } = useTranslation();
  return (
    <table className="w-full text-xs">
      <caption className="mb-1 text-left text-xs font-semibold">{t('rule.steps')}</caption>
      <thead className="text-2xs text-faint">
        <tr>
          <th scope="col" className="py-1 text-left font-normal">{t('rule.step_at')}</th>
          <th scope="col" className="py-1 text-right font-normal">{t('rule.step_adds')}</th>
          <th scope="col" className="py-1 text-right font-normal">{t('rule.step_liquidation')}</th>
        </tr>
      </thead>
      <tbody>
        {preview.steps.map((step) => (
          <tr key={`${step.price}`} className="border-t border-line">
            <td className="py-1.5 text-left font-medium">{formatPrice(step.price)}</td>
            <td className="py-1.5 text-right">{formatSats(step.sats, { plus: true })}</td>
            <td className="py-1.5 text-right text-muted">{formatPrice(step.liquidation_price)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** One hundred dots, one per night: lived untouched, topped up, saved, lost anyway. */
export function NightsPicture({ nights }: { nights: Nights }): ReactNode {
  const { t } = useTranslation();
  const saved = Math.min(nights.saved, nights.died_unguarded);
  const lost = nights.died_unguarded - saved;
  const onlyActed = Math.max(0, nights.acted - nights.died_unguarded);
  const kinds = [
    { name: 'lost', count: lost, style: 'bg-danger' },
    { name: 'saved', count: saved, style: 'bg-accent' },
    { name: 'acted', count: onlyActed, style: 'bg-accent/35' },
    { name: 'quiet', count: Math.max(0, nights.nights - nights.died_unguarded - onlyActed), style: 'bg-raised' },
  ] as const;
  return (
    <figure>
      <figcaption className="mb-2 text-xs text-muted">
        <span className="font-semibold text-text">{t('nights.title', { count: nights.nights, leverage: formatLeverage(nights.leverage) })}</span>{' '}
        {nightsWords(nights, t)}
      </figcaption>
      <div className="grid grid-cols-25 gap-1" aria-hidden>
        {kinds.flatMap((kind) =>
          Array.from({ length: Math.round(kind.count) }, (_, index) => (
            <span key={`${kind.name}${index}`} className={`aspect-square rounded-[2px] ${kind.style}`} />
          )),
        )}
      </div>
      <ul className="mt-2 flex flex-wrap gap-x-4 gap-y-1 text-2xs text-faint" aria-hidden>
        {kinds.map((kind) => (
          <li key={kind.name} className="flex items-center gap-1.5">
            <span className={`size-2 rounded-[2px] ${kind.style}`} /> {t(`nights.${kind.name}`)}
          </li>
        ))}
      </ul>
    </figure>
  );
}

export function nightsWords(nights: Nights, t: TFunction): string {
  const round = Math.round;
  return t('nights.words', {
    acted: round(nights.acted),
    died: round(nights.died_unguarded),
    saved: round(nights.saved),
    better: round(nights.better_than_liquidation),
    worse: round(nights.worse_than_liquidation),
  });
}
