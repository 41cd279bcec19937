import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { ActivityList } from '@/features/activity/activity-list';
import { loadActivity } from './stream';

export function ActivityPage(): ReactNode {
  const { t } = useTranslation();
  return (
    <section className="mx-auto w-full max-w-3xl">
      <h1 className="mb-3 text-lg font-semibold">{t('nav.activity')}</h1>
      <div className="rounded-lg border border-line bg-card">
        <ActivityList onRetry={() => void loadActivity()} />
      </div>
    </section>
  );
}
