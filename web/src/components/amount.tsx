import { ArrowDown, ArrowUp } from 'lucide-react';
import type { ReactNode } from 'react';
import { cn } from '@/lib/cn';
import { formatSats } from '@/lib/units';

/** A gain or a loss: sign, arrow and colour together, so that none of them is needed alone. */
export function SignedSats({ value, className }: { value: number | null; className?: string }): ReactNode {
  const Arrow = value === null || value === 0 ? null : value > 0 ? ArrowUp : ArrowDown;
  return (
    <span
      className={cn(
        'inline-flex items-center gap-0.5 whitespace-nowrap',
        value === null || value === 0 ? 'text-muted' : value > 0 ? 'text-profit' : 'text-loss',
        className,
      )}
    >
      {Arrow && <Arrow aria-hidden className="size-[0.85em]" strokeWidth={2.5} />}
      {formatSats(value, { plus: true })}
    </span>
  );
}
