import { cva, type VariantProps } from 'class-variance-authority';
import type { ComponentProps, ReactNode } from 'react';
import { cn } from '@/lib/cn';

const badgeVariants = cva(
  'inline-flex h-5 items-center gap-1 rounded px-1.5 text-2xs font-semibold tracking-wide whitespace-nowrap [&_svg]:size-3',
  {
    variants: {
      variant: {
        neutral: 'bg-raised text-muted',
        outline: 'border border-line text-muted',
        info: 'bg-info/14 text-info',
        caution: 'bg-caution/14 text-caution',
        danger: 'bg-danger/14 text-danger',
        deed: 'bg-accent/14 text-accent-text',
        signet: 'bg-signet/14 text-signet',
        live: 'rounded-none border-y-2 border-text text-text',
      },
    },
    defaultVariants: { variant: 'neutral' },
  },
);

export function Badge({
  className,
  variant,
  ...props
}: ComponentProps<'span'> & VariantProps<typeof badgeVariants>): ReactNode {
  return <span data-slot="badge" className={cn(badgeVariants({ variant }), className)} {...props} />;
}
