/** What a rule did to a hundred recorded nights, in one sentence. */
import type { TFunction } from 'i18next';
import type { NightsCard } from '@/api/schema';

/** Nights are counted whole; an unknown count is a dash. */
export function count(value: number | null): string {
  return value === null ? '–' : String(Math.round(value));
}

export function nightsWords(nights: NightsCard, t: TFunction): string {
  const kind = nights.preset === 'watch' || nights.preset === 'cut' ? nights.preset : 'top_up';
  return t(`nights.words.${kind}`, {
    acted: count(nights.acted),
    died: count(nights.died_unguarded),
    saved: count(nights.saved),
    better: count(nights.better_than_liquidation),
    worse: count(nights.worse_than_liquidation),
    lived: count(nights.closed_that_would_have_lived),
  });
}
