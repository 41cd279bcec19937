import type { TFunction } from 'i18next';
import { useEffect, useMemo, useRef, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { useShallow } from 'zustand/react/shallow';
import type { Trade } from '@/api/schema';
import { fatePicture, type FatePicture, type Point } from '@/components/charts/fate-shape';
import { Skeleton } from '@/components/ui/skeleton';
import { cn } from '@/lib/cn';
import { formatClock, formatInteger, formatSats } from '@/lib/units';
import { useActivity } from '@/stores/activity';
import { useFates } from '@/stores/fates';
import { tradeName } from '@/lib/trade-name';

const NONE: never[] = [];
const GUTTER_LEFT = 62;

function useWidth(): [React.RefObject<HTMLDivElement | null>, number] {
  const ref = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!ref.current) return undefined;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry?.contentRect.width ?? 0)));
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

/** The two fates: results of a trade with and without the guard on one axis; what was kept or what it cost stands in the gap. */
export function FatesPanel({ guarded, unguarded, className }: { guarded: Trade | null; unguarded: Trade | null; className?: string }): ReactNode {
  const { t } = useTranslation();
  const [ref, width] = useWidth();
  const withGuard = useFates((state) => (guarded ? state.byTrade[guarded.trade_id] : undefined)) ?? NONE;
  const without = useFates((state) => (unguarded ? state.byTrade[unguarded.trade_id] : undefined)) ?? NONE;
  const deeds = useActivity(
    useShallow((state) => state.items.filter((item) => item.kind === 'rescue_confirmed' && item.trade_id === guarded?.trade_id)),
  );
  const height = 108;
  const plot = Math.max(0, width - GUTTER_LEFT - (width < 480 ? 118 : 190));
  const picture = useMemo(() => {
    const toPoints = (samples: readonly { at: number; result_sats: number }[]): Point[] =>
      samples.map((each) => ({ at: each.at, value: each.result_sats }));
    return plot > 40 ? fatePicture({ guarded: toPoints(withGuard), unguarded: toPoints(without), width: plot, height }) : null;
  }, [withGuard, without, plot]);
  const marks = useMemo(() => placeDeeds(deeds.map((deed) => Date.parse(deed.at)), withGuard, picture, plot), [deeds, withGuard, picture, plot]);
  return (
    <section ref={ref} className={cn('rounded-lg border border-line bg-card px-3 py-2', className)} aria-label={t('fates.title')}>
      <header className="mb-1 flex flex-wrap items-center gap-x-4 gap-y-0.5 text-xs text-muted">
        <h2 className="text-sm font-semibold text-text">{t('fates.title')}</h2>
        {guarded && <span className="text-faint">{t('fates.of', { trade: tradeName(guarded, t(`words.side.${guarded.side}`)) })}</span>}
        <span className="ml-auto flex items-center gap-1.5">
          <span aria-hidden className="h-0.5 w-4 rounded bg-text" /> {t('fates.with')}
        </span>
        <span className="flex items-center gap-1.5">
          <span aria-hidden className="h-0.5 w-4 rounded bg-faint" /> {t('fates.without')}
        </span>
      </header>
      {picture && guarded ? (
        <div className="flex">
          <Plot picture={picture} width={plot} height={height} marks={marks} isDead={unguarded?.close_reason === 'liquidation'} isOver={guarded.status === 'closed'} />
          <Gap guarded={guarded} unguarded={unguarded} picture={picture} height={height} />
        </div>
      ) : (
        <div className="flex h-[128px] items-center gap-4">
          <Skeleton className="h-24 flex-1" />
          <Skeleton className="h-12 w-36" />
        </div>
      )}
    </section>
  );
}

function placeDeeds(
  times: readonly number[],
  samples: readonly { at: number; result_sats: number }[],
  picture: FatePicture | null,
  plot: number,
): { x: number; share: number }[] {
  const first = samples[0];
  const end = picture?.guardedEnd;
  const last = samples.at(-1);
  if (!picture || !first || !end || !last || last.at === first.at) return [];
  const scale = end.x / (last.at - first.at);
  return times
    .map((at) => ({ x: (at - first.at) * scale, share: 0 }))
    .filter(({ x }) => x >= 0 && x <= plot);
}

function Plot({
  picture,
  width,
  height,
  marks,
  isDead,
  isOver,
}: {
  picture: FatePicture;
  width: number;
  height: number;
  marks: readonly { x: number }[];
  isDead: boolean;
  isOver: boolean;
}): ReactNode {
  const { guardedEnd, unguardedEnd } = picture;
  return (
    <svg width={GUTTER_LEFT + width} height={height + 18} className="shrink-0 overflow-visible text-2xs" aria-hidden>
      {picture.ticks.map((tick) => (
        <g key={tick.value}>
          <line x1={GUTTER_LEFT} x2={GUTTER_LEFT + width} y1={tick.y} y2={tick.y} className={tick.value === 0 ? 'stroke-line' : 'stroke-line/50'} />
          <text x={GUTTER_LEFT - 8} y={tick.y + 3.5} textAnchor="end" className="fill-faint">
            {formatInteger(tick.value)}
          </text>
        </g>
      ))}
      {picture.timeTicks.map((tick) => (
        <text key={tick.at} x={GUTTER_LEFT + tick.x} y={height + 14} textAnchor="middle" className="fill-faint">
          {formatClock(new Date(tick.at).toISOString())}
        </text>
      ))}
      <g transform={`translate(${GUTTER_LEFT} 0)`}>
        {picture.gap !== '' && <path d={picture.gap} className="fill-muted/10" />}
        <path d={picture.unguarded} fill="none" className="stroke-faint" strokeWidth="1.75" strokeLinejoin="round" />
        <path d={picture.guarded} fill="none" className="stroke-text" strokeWidth="2" strokeLinejoin="round" />
        {marks.map((mark) => (
          <g key={mark.x} transform={`translate(${mark.x} 0)`}>
            <line y1="0" y2={height} className="stroke-accent/45" strokeDasharray="2 3" />
            <circle cy="4" r="4" className="fill-accent" />
          </g>
        ))}
        {unguardedEnd && isDead && (
          <path
            d="M-4.5-4.5l9 9m0-9l-9 9"
            transform={`translate(${unguardedEnd.x} ${unguardedEnd.y})`}
            className="stroke-danger"
            strokeWidth="2.4"
            strokeLinecap="round"
          />
        )}
        {guardedEnd && !isOver && <circle cx={guardedEnd.x} cy={guardedEnd.y} r="3.5" className="fill-text" />}
      </g>
    </svg>
  );
}

function Gap({ guarded, unguarded, picture, height }: { guarded: Trade; unguarded: Trade | null; picture: FatePicture; height: number }): ReactNode {
  const { t } = useTranslation();
  const kept = guarded.kept_sats;
  const top = picture.guardedEnd?.y ?? 0;
  const bottom = picture.unguardedEnd?.y ?? top;
  const middle = Math.min(height - 34, Math.max(30, (top + bottom) / 2));
  return (
    <div className="relative min-w-0 flex-1" style={{ height }} aria-live="off">
      <svg aria-hidden className="absolute inset-y-0 left-1 h-full w-3 overflow-visible text-faint" fill="none">
        <path d={`M0 ${top}h6V${bottom}h-6`} stroke="currentColor" strokeWidth="1.25" />
      </svg>
      <div className="absolute inset-x-0 pl-5" style={{ transform: `translateY(${middle - 30}px)` }}>
        <p className="text-xs text-muted">{keptHeading(kept, guarded, t)}</p>
        <p className={cn('text-lg leading-6 font-semibold whitespace-nowrap', kept !== null && kept < 0 ? 'text-loss' : 'text-text')} data-testid="kept">
          {kept === null ? '–' : formatSats(Math.abs(kept))}
        </p>
        <p className="text-2xs text-faint">
          {guarded.added_sats > 0 ? t('fates.you_put_in', { added: formatSats(guarded.added_sats) }) : unguarded ? t('fates.nothing_put_in') : ''}
        </p>
      </div>
    </div>
  );
}

export function keptHeading(kept: number | null, guarded: Trade, t: TFunction): string {
  if (kept === null) return t('fates.kept_unknown');
  const isFinal = guarded.status === 'closed';
  if (kept < 0) return t(isFinal ? 'fates.cost' : 'fates.cost_so_far');
  if (kept === 0) return t('fates.even');
  return t(isFinal ? 'fates.kept' : 'fates.kept_so_far');
}
