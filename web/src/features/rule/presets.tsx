import { useQueries } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { call } from '@/api/client';
import { LadderPreview, type RuleBody, type RuleView } from '@/api/schema';
import { Button } from '@/components/ui/button';
import { Skeleton } from '@/components/ui/skeleton';
import { cn } from '@/lib/cn';
import { nightsWords } from '@/lib/nights-words';
import { formatPrice, formatSats } from '@/lib/units';
import { rulePath, type Edit, type RuleScope } from '@/stores/draft';
import { NightsPicture } from './nights-card';

type Offer = NonNullable<RuleView['presets']>[number];

/** The ready-made rules with this trade's own prices, the worst case of each, and 100 nights with it. */
export function Presets({ scope, offers, current, onEdit }: { scope: RuleScope; offers: readonly Offer[]; current: RuleBody['preset']; onEdit: (change: Edit) => void }): ReactNode {
  const { t } = useTranslation();
  const path = `${rulePath(scope)}/preview`;
  const previews = useQueries({
    queries: offers.map((offer) => ({
      queryKey: ['guard', 'preset', path, offer.preset],
      enabled: offer.is_offered && offer.rule !== null,
      queryFn: ({ signal }: { signal: AbortSignal }) => call(path, { method: 'POST', body: { rule: offer.rule }, schema: LadderPreview, signal }),
      staleTime: 30_000,
    })),
  });
  return (
    <ul className="grid gap-2" aria-label={t('preset.title')}>
      {offers.map((offer, index) => (
        <Card
          key={offer.preset}
          offer={offer}
          preview={previews[index]?.data ?? null}
          hasFailed={previews[index]?.isError ?? false}
          isCurrent={offer.preset === current}
          onUse={() => {
            const { rule } = offer;
            if (rule) onEdit((body) => ({ ...rule, inherits: body.inherits.filter((part) => part === 'funding') }));
          }}
        />
      ))}
    </ul>
  );
}

function Card({ offer, preview, hasFailed, isCurrent, onUse }: { offer: Offer; preview: LadderPreview | null; hasFailed: boolean; isCurrent: boolean; onUse: () => void }): ReactNode {
  const { t } = useTranslation();
  const name = t(`words.preset.${offer.preset}`);
  const spends = offer.rule?.limits.position_sats ?? 0;
  const acting = preview?.marks.find((mark) => mark.kind === 'top_up' || mark.kind === 'close') ?? null;
  return (
    <li className={cn('rounded-md border px-3 py-2.5 text-sm', isCurrent ? 'border-faint' : 'border-line', !offer.is_offered && 'opacity-75')} data-testid={`preset-${offer.preset}`}>
      <div className="flex items-center gap-2">
        <h4 className="font-semibold">{name}</h4>
        {isCurrent && <span className="text-2xs text-faint">{t('preset.current')}</span>}
        {offer.is_offered && (
          <Button size="xs" variant="outline" className="ml-auto" onClick={onUse} aria-label={t('preset.use_named', { preset: name })}>
            {t('preset.use')}
          </Button>
        )}
      </div>
      <p className="mt-0.5 text-xs text-muted">{t(`preset.about.${offer.preset}`)}</p>
      {!offer.is_offered && <p className="mt-1 text-xs text-caution">{t(`preset.reason.${offer.reason ?? 'unknown'}`, { defaultValue: offer.reason ?? '' })}</p>}
      {offer.is_offered && hasFailed && <p className="mt-1 text-xs text-caution">{t('rule.preview_failed')}</p>}
      {offer.is_offered && !hasFailed && !preview && <Skeleton className="mt-2 h-8" />}
      {preview && (
        <>
          <p className="mt-1.5 text-xs">
            {acting !== null && <>{t(`preset.mark.${acting.kind}`, { price: formatPrice(acting.price) })} </>}
            {t('preset.figures', {
              limit: formatSats(spends),
              covered: formatPrice(preview.covered_to_price),
              worst: formatSats(preview.worst_case_sats),
              bare: formatSats(preview.unguarded_worst_case_sats),
            })}
          </p>
          {preview.nights && (
            <details className="mt-1.5">
              <summary className="cursor-pointer text-xs text-muted">{nightsWords(preview.nights, t)}</summary>
              <div className="mt-2">
                <NightsPicture nights={preview.nights} />
              </div>
            </details>
          )}
        </>
      )}
    </li>
  );
}
