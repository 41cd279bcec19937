import type { ComponentProps, ReactNode } from 'react';
import { cn } from '@/lib/cn';

export function Skeleton({ className, ...props }: ComponentProps<'div'>): ReactNode {
  return <div data-slot="skeleton" aria-hidden className={cn('rounded bg-raised', className)} {...props} />;
}
