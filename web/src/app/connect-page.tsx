import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';

const STEPS = ['network', 'key', 'read_only', 'limits', 'drill'] as const;

/** The way to one's own account, said as it is: what is not possible yet, and the steps once it is. */
export function ConnectPage(): ReactNode {
  const { t } = useTranslation();
  return (
    <section className="mx-auto w-full max-w-2xl">
      <h1 className="text-lg font-semibold">{t('connect.title')}</h1>
      <p className="mt-1 text-muted">{t('connect.intro')}</p>
      <ol className="mt-4 divide-y divide-line rounded-lg border border-line bg-card">
        {STEPS.map((step, index) => (
          <li key={step} className="flex gap-4 px-4 py-3.5">
            <span aria-hidden className="grid size-6 shrink-0 place-items-center rounded-full border border-line text-xs text-muted">
              {index + 1}
            </span>
            <div>
              <h2 className="text-sm font-semibold">{t(`connect.${step}.title`)}</h2>
              <p className="mt-0.5 text-sm text-muted">{t(`connect.${step}.text`)}</p>
            </div>
          </li>
        ))}
      </ol>
      <p className="mt-3 text-sm text-muted">{t('connect.readme')}</p>
      <p className="mt-3 text-sm text-muted">{t('connect.paper')}</p>
    </section>
  );
}
