import { TriangleAlert } from 'lucide-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Conflict } from '@/api/schema';
import { stepName } from '@/lib/step-words';
import { formatPrice } from '@/lib/units';

/** What in the draft contradicts itself or other orders, each with the prices that show it. */
export function Conflicts({ conflicts, accepts, onAccept }: { conflicts: readonly Conflict[]; accepts: boolean; onAccept: (accepts: boolean) => void }): ReactNode {
  const { t } = useTranslation();
  if (conflicts.length === 0) return null;
  return (
    <section role="alert" aria-label={t('conflict.title')} className="mt-4 rounded-md border border-caution/60 bg-caution/10 px-3 py-2.5 text-sm">
      <h3 className="flex items-center gap-2 font-medium">
        <TriangleAlert aria-hidden className="size-4 text-caution" />
        {t('conflict.title')}
      </h3>
      <ul className="mt-2 space-y-2">
        {conflicts.map((conflict, index) => (
          <li key={`${index}${conflict.kind}`} data-conflict={conflict.kind}>
            <p>{t(`conflict.kind.${conflict.kind}`, { steps: conflict.steps.map((key) => stepName(key, t)).join(', '), defaultValue: conflict.kind.replaceAll('_', ' ') })}</p>
            <p className="mt-0.5 text-xs text-muted">
              {conflict.path.map((point, at) => (
                <span key={`${at}${point.price}`}>
                  {at > 0 && ' → '}
                  <span className="font-medium whitespace-nowrap text-text">{formatPrice(point.price)}</span>{' '}
                  {t(`conflict.what.${point.what}`, { step: stepName(point.step, t), defaultValue: point.what.replaceAll('_', ' ') })}
                </span>
              ))}
            </p>
          </li>
        ))}
      </ul>
      <label className="mt-2.5 flex items-center gap-2">
        <input type="checkbox" checked={accepts} onChange={(event) => onAccept(event.target.checked)} className="accent-info" />
        {t('conflict.accept')}
      </label>
    </section>
  );
}
