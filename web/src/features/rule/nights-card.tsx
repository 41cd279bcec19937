import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { NightsCard } from '@/api/schema';
import { count, nightsWords } from '@/lib/nights-words';
import { formatLeverage, formatRatio } from '@/lib/units';

/** One hundred dots, one per night, and what else one could have done with the same sats. */
export function NightsPicture({ nights }: { nights: NightsCard }): ReactNode {
  const { t } = useTranslation();
  const closes = nights.preset === 'cut';
  // A rule that closes ends the nights that would have died before they do, and none of them lives.
  const ended = closes ? nights.died_unguarded : Math.min(nights.saved, nights.died_unguarded);
  const kinds = [
    { name: 'lost', count: nights.died_unguarded - ended, style: 'bg-danger' },
    { name: closes ? 'closed_first' : 'saved', count: ended, style: 'bg-accent' },
    { name: closes ? 'closed' : 'acted', count: Math.max(0, nights.acted - nights.died_unguarded), style: 'bg-accent/35' },
  ].filter((kind) => kind.count > 0);
  const named = kinds.reduce((sum, kind) => sum + kind.count, 0);
  const all = [...kinds, { name: 'quiet', count: Math.max(0, nights.nights - named), style: 'bg-raised outline outline-line' }];
  const dots = dotsOf(all.map((kind) => kind.count));
  return (
    <figure data-testid="nights">
      <figcaption className="mb-2 text-xs text-muted">
        <span className="font-semibold text-text">{t('nights.title', { count: nights.nights, leverage: formatLeverage(nights.leverage) })}</span>{' '}
        {nightsWords(nights, t)}
      </figcaption>
      <div className="grid grid-cols-25 gap-1" aria-hidden>
        {all.flatMap((kind, index) =>
          Array.from({ length: dots[index] ?? 0 }, (_, dot) => (
            <span key={`${kind.name}${dot}`} className={`aspect-square rounded-[2px] ${kind.style}`} />
          )),
        )}
      </div>
      <ul className="mt-2 flex flex-wrap gap-x-4 gap-y-1 text-2xs text-faint" aria-hidden>
        {all.map((kind) => (
          <li key={kind.name} className="flex items-center gap-1.5">
            <span className={`size-2 rounded-[2px] ${kind.style}`} /> {t(`nights.${kind.name}`)}
          </li>
        ))}
      </ul>
      {nights.against.length > 0 && (
        <ul className="mt-3 space-y-1 text-xs text-muted" aria-label={t('nights.against_title')}>
          {nights.against.map((other) => (
            <li key={other.name}>
              {t(`nights.against.${other.name}`, {
                closed: count(other.closed),
                lived: count(other.would_have_lived),
                saved: count(other.saved),
                worst: formatRatio(other.worst_share, 0),
                mean: formatRatio(other.mean_result_share, 1),
                defaultValue: other.name.replaceAll('_', ' '),
              })}
            </li>
          ))}
        </ul>
      )}
      <p className="mt-2 text-xs text-muted">
        {t('nights.mean', { change: formatRatio(nights.mean_result_change_share, 1) })}{' '}
        <span className="text-faint">{t('nights.source', { source: nights.source })}</span>
      </p>
    </figure>
  );
}

/** Whole dots that together are as many as the nights: each kind's end is rounded, not its size. */
export function dotsOf(counts: readonly number[]): number[] {
  let end = 0;
  return counts.map((each) => {
    const start = Math.round(end);
    end += each;
    return Math.round(end) - start;
  });
}
