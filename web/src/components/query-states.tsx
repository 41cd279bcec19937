import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { StatePanel } from './state-panel';
import { Button } from './ui/button';
import { Skeleton } from './ui/skeleton';

/** Waiting and failing of one part of a page; the rest of the page goes on. */
export function QueryStates({
  query,
  failed,
  lines = 3,
}: {
  query: { isPending: boolean; isError: boolean; data: unknown; refetch: () => unknown };
  /** What could not be read. */
  failed: string;
  lines?: number;
}): ReactNode {
  const { t } = useTranslation();
  if (query.isError) {
    return (
      <StatePanel
        tone="caution"
        className="p-0"
        title={failed}
        detail={t(query.data === undefined ? 'common.read_failed_detail' : 'common.read_failed_stale')}
        action={<Button size="sm" variant="outline" onClick={() => query.refetch()}>{t('common.try_again')}</Button>}
      />
    );
  }
  if (!query.isPending) return null;
  return (
    <div className="space-y-2.5" role="status" aria-label={t('common.loading')}>
      {Array.from({ length: lines }, (_, index) => (
        <Skeleton key={index} className="h-4" style={{ width: `${90 - ((index * 23) % 45)}%` }} />
      ))}
    </div>
  );
}
