import { Bell, CircleDot, Flag, OctagonX, Pause, Scissors, type LucideIcon } from 'lucide-react';
import type { TFunction } from 'i18next';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { LadderEvent } from '@/api/schema';
import { cn } from '@/lib/cn';
import { formatPrice, formatSats } from '@/lib/units';

const ICONS: Record<LadderEvent['what'], LucideIcon> = {
  warned: Bell,
  topped_up: CircleDot,
  held: Pause,
  reduced: Scissors,
  closed: Flag,
  gave_up: Flag,
  stopped: Flag,
  liquidated: OctagonX,
};

/** One thing on the way of the price, as a sentence. */
export function eventWords(event: LadderEvent, t: TFunction): string {
  const values = {
    sats: formatSats(event.sats),
    liquidation: formatPrice(event.liquidation_price),
    stop: formatPrice(event.stop_price),
    returns: formatSats(event.returns_sats),
    spent: formatSats(event.spent_sats),
    reason: event.reason === null ? '' : t(`words.reason.${event.reason}`, { defaultValue: event.reason.replaceAll('_', ' ') }),
  };
  const variant = event.what === 'topped_up' && event.stop_price !== null ? 'topped_up_stop' : event.what;
  return t(`path.${variant}`, values);
}

/** What happens on the way, in order, each with its price. */
export function LadderEvents({ events, className }: { events: readonly LadderEvent[]; className?: string }): ReactNode {
  const { t } = useTranslation();
  return (
    <ol className={cn('space-y-1.5', className)}>
      {events.map((event, index) => {
        const Icon = ICONS[event.what];
        const tone = event.what === 'liquidated' ? 'text-danger' : event.what === 'topped_up' ? 'text-accent-text' : 'text-muted';
        return (
          <li key={`${index}${event.price}`} className="flex gap-2 text-sm" data-what={event.what}>
            <Icon aria-hidden className={cn('mt-0.5 size-4 shrink-0', tone)} />
            <span className="w-[4.6rem] shrink-0 font-medium">{formatPrice(event.price)}</span>
            <span className="text-muted">{eventWords(event, t)}</span>
          </li>
        );
      })}
    </ol>
  );
}
