import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { useBeat } from '@/lib/clock';
import { cn } from '@/lib/cn';
import { formatDuration } from '@/lib/units';

/**
 * An age in words that grows by itself and turns amber when it is old.
 *
 * `ageS` is the age when it was received and `receivedAt` the page clock then; null is "unknown".
 */
export function Age({
  ageS,
  receivedAt,
  oldAfterS = 5,
  className,
}: {
  ageS: number | null;
  receivedAt: number;
  oldAfterS?: number;
  className?: string;
}): ReactNode {
  const { t } = useTranslation();
  const beat = useBeat();
  if (ageS === null) return <span className={cn('text-caution', className)}>{t('common.age_unknown')}</span>;
  const age = ageS + Math.max(0, beat - receivedAt) / 1000;
  const words = age < 1.5 ? t('common.now') : t('common.ago', { age: formatDuration(age) });
  return (
    <span data-old={age > oldAfterS} className={cn(age > oldAfterS ? 'text-caution' : 'text-faint', className)}>
      {words}
    </span>
  );
}
