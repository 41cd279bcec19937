import type { ReactNode } from 'react';
import { cn } from '@/lib/cn';

/** One part of a page with its heading. */
export function Panel({ title, action, children, className, id }: { title: string; action?: ReactNode; children: ReactNode; className?: string; id?: string }): ReactNode {
  return (
    <section aria-label={title} {...(id ? { id } : {})} className={cn('min-w-0 rounded-lg border border-line bg-card', className)}>
      <header className="flex min-h-10 flex-wrap items-center gap-2 border-b border-line px-3 py-1.5">
        <h2 className="text-sm font-semibold">{title}</h2>
        {action && <div className="ml-auto flex gap-2">{action}</div>}
      </header>
      <div className="px-3 py-2.5">{children}</div>
    </section>
  );
}
