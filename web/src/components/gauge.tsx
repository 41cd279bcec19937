import { useTranslation } from 'react-i18next';
import type { ReactNode } from 'react';
import { cn } from '@/lib/cn';
import { gaugeScale } from '@/lib/gauge';
import { formatPrice } from '@/lib/units';

export interface GaugeMark {
  kind: 'warn' | 'top_up' | 'stop';
  price: number | null;
}

const MARK_STYLE = {
  warn: 'h-2.5 w-px bg-caution',
  top_up: 'h-4 w-0.5 bg-accent',
  stop: 'h-4 w-1 rounded-[1px] bg-text',
} as const;

/**
 * The gauge of distance: liquidation at the left, entry and beyond to the right, the price as a needle.
 * The picture is the same for longs and shorts and in every place where a position is shown.
 */
export function Gauge({
  liquidation,
  entry,
  price,
  marks,
  previousLiquidation,
  twin,
  isDead = false,
  isMuted = false,
  className,
}: {
  liquidation: number;
  entry: number;
  price: number | null;
  marks: readonly GaugeMark[];
  /** Liquidation at the entry, shown hollow when a top-up has moved it. */
  previousLiquidation?: number | null;
  /** The gauge in words. */
  twin: string;
  isDead?: boolean;
  isMuted?: boolean;
  className?: string;
}): ReactNode {
  const { t } = useTranslation();
  const scale = gaugeScale({ liquidation, entry, price });
  const at = (value: number): string => `${(scale.at(value) * 100).toFixed(2)}%`;
  const needle = isDead ? '0%' : price === null ? null : at(price);
  const hasMoved = previousLiquidation !== null && previousLiquidation !== undefined && previousLiquidation !== liquidation;
  return (
    <figure className={cn('relative select-none', className)} role="img" aria-label={twin}>
      <div className={cn('relative h-6.5', isMuted && 'opacity-55')} aria-hidden>
        <div className="absolute inset-x-0 top-1/2 h-1.5 -translate-y-1/2 rounded-sm bg-raised" />
        <Zone from="0%" to={marks.find((mark) => mark.kind === 'stop' && mark.price !== null)?.price} at={at} />
        {needle !== null && !isDead && (
          <div
            className="absolute top-1/2 left-0 h-1.5 -translate-y-1/2 rounded-sm bg-text/25 transition-[width] duration-150"
            style={{ width: needle }}
          />
        )}
        <div className="absolute top-1/2 left-0 h-5 w-1 -translate-y-1/2 rounded-sm bg-danger" title={`${t('gauge.liquidation')} ${formatPrice(liquidation)}`} />
        {hasMoved && (
          <div
            className="absolute top-1/2 h-5 -translate-x-1/2 -translate-y-1/2 border-l border-dashed border-danger"
            style={{ left: at(previousLiquidation) }}
            title={`${t('gauge.liquidation_before')} ${formatPrice(previousLiquidation)}`}
          />
        )}
        <div
          className="absolute top-1/2 h-3 w-px -translate-y-1/2 bg-faint"
          style={{ left: at(entry) }}
          title={`${t('gauge.entry')} ${formatPrice(entry)}`}
        />
        {marks.map((mark) =>
          mark.price === null ? null : (
            <div
              key={mark.kind}
              className={cn('absolute top-1/2 -translate-x-1/2 -translate-y-1/2 transition-[left] duration-150', MARK_STYLE[mark.kind])}
              style={{ left: at(mark.price) }}
              title={`${t(`gauge.${mark.kind}`)} ${formatPrice(mark.price)}`}
            />
          ),
        )}
        {needle !== null && <Needle left={needle} isDead={isDead} />}
      </div>
    </figure>
  );
}

function Zone({ to, at }: { from: string; to: number | null | undefined; at: (value: number) => string }): ReactNode {
  if (to === null || to === undefined) return null;
  return <div className="absolute top-1/2 left-0 h-1.5 -translate-y-1/2 rounded-l-sm bg-danger/35" style={{ width: at(to) }} />;
}

function Needle({ left, isDead }: { left: string; isDead: boolean }): ReactNode {
  return (
    <div className="absolute inset-y-0 transition-[left] duration-150" style={{ left }}>
      <svg viewBox="0 0 12 28" className={cn('h-7 w-3 -translate-x-1/2', isDead ? 'text-danger' : 'text-text')}>
        {isDead ? (
          <path d="M1.5 9.5l9 9m0-9l-9 9" stroke="currentColor" strokeWidth="2.4" strokeLinecap="round" fill="none" />
        ) : (
          <>
            <path d="M1 0h10L6 7.5z" fill="currentColor" />
            <path d="M6 5v20" stroke="var(--card)" strokeWidth="4" />
            <path d="M6 5v20" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" />
          </>
        )}
      </svg>
    </div>
  );
}
