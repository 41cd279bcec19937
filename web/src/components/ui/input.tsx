import type { ComponentProps, ReactNode } from 'react';
import { cn } from '@/lib/cn';

export function Input({ className, ...props }: ComponentProps<'input'>): ReactNode {
  return (
    <input
      data-slot="input"
      className={cn(
        'h-9 w-full rounded-md border border-line bg-surface px-3 text-sm text-text placeholder:text-faint disabled:opacity-50 aria-invalid:border-caution',
        className,
      )}
      {...props}
    />
  );
}
