import { CircleHelp, CircleSlash, OctagonX, ShieldCheck, TriangleAlert, type LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Coverage } from '@/api/schema';
import { cn } from '@/lib/cn';

const LOOKS: Record<Coverage['state'], { icon: LucideIcon; style: string }> = {
  green: { icon: ShieldCheck, style: 'border-safe/50 text-safe' },
  amber: { icon: TriangleAlert, style: 'border-caution/60 text-caution' },
  red: { icon: OctagonX, style: 'border-danger bg-danger text-on-danger' },
  unknown: { icon: CircleHelp, style: 'border-dashed border-caution/60 text-caution' },
  off: { icon: CircleSlash, style: 'border-line text-muted' },
};

/** How well a position is protected: a word, a shape and a colour, none of them needed alone. */
export function CoverageState({ state, isLarge = false, className }: { state: Coverage['state']; isLarge?: boolean; className?: string }): ReactNode {
  const { t } = useTranslation();
  const { icon: Icon, style } = LOOKS[state];
  return (
    <span
      data-state={state}
      data-testid="coverage-state"
      className={cn(
        'inline-flex shrink-0 items-center gap-1.5 rounded-md border font-semibold whitespace-nowrap',
        isLarge ? 'px-2.5 py-1 text-sm' : 'h-6 px-2 text-xs',
        style,
        className,
      )}
    >
      <Icon aria-hidden className={isLarge ? 'size-4.5' : 'size-3.5'} />
      {t(`coverage.state.${state}`)}
    </span>
  );
}
