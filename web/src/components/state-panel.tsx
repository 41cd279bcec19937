import { CircleSlash, TriangleAlert, type LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';
import { cn } from '@/lib/cn';

/** What failed or is missing, what still works, and what to do. */
export function StatePanel({
  tone = 'neutral',
  title,
  detail,
  action,
  icon,
  className,
}: {
  tone?: 'neutral' | 'caution';
  title: string;
  detail?: ReactNode;
  action?: ReactNode;
  icon?: LucideIcon;
  className?: string;
}): ReactNode {
  const Icon = icon ?? (tone === 'caution' ? TriangleAlert : CircleSlash);
  return (
    <div role={tone === 'caution' ? 'alert' : undefined} className={cn('flex flex-col items-start gap-2 p-5', className)}>
      <Icon aria-hidden className={cn('size-5', tone === 'caution' ? 'text-caution' : 'text-faint')} />
      <p className="text-sm font-medium text-text">{title}</p>
      {detail && <div className="max-w-prose text-sm text-muted">{detail}</div>}
      {action && <div className="mt-1">{action}</div>}
    </div>
  );
}
