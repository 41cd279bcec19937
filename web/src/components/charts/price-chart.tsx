import { useEffect, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent, type ReactNode } from 'react';
import { Tooltip } from '@/components/ui/tooltip';
import { cn } from '@/lib/cn';
import { stackLabels } from '@/lib/label-stack';
import { useTheme } from '@/lib/theme';
import { formatPrice } from '@/lib/units';
import { toTick, type Bar, type ChartLine, type ChartMark, type LineKind } from './chart-shape';
import type { ChartColors } from './lines-primitive';
import { PriceChartIsland, type ChartLayout } from './price-chart-island';

const LABEL_HEIGHT = 18;
const KEY_STEP_USD = 5;

const LABEL_STYLE: Record<LineKind, string> = {
  entry: 'text-muted',
  liquidation: 'text-danger font-semibold',
  warn: 'text-caution',
  top_up: 'text-accent-text font-semibold',
  reduce: 'text-text',
  close: 'text-text',
  give_up: 'text-text',
  stop: 'text-text',
  take_profit: 'text-muted',
  conflict: 'text-caution font-semibold',
  what_if: 'text-info font-semibold',
};

function readColors(): ChartColors {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string): string => style.getPropertyValue(name).trim();
  return {
    text: value('--faint'),
    grid: value('--grid'),
    border: value('--border'),
    up: value('--candle-up'),
    down: value('--candle-down'),
    accent: value('--accent'),
    entry: value('--faint'),
    liquidation: value('--danger'),
    warn: value('--caution'),
    top_up: value('--accent'),
    reduce: value('--muted'),
    close: value('--muted'),
    give_up: value('--muted'),
    stop: value('--text'),
    conflict: value('--caution'),
    what_if: value('--info'),
    take_profit: value('--profit'),
  };
}

export interface DragOfLine {
  lineId: string;
  price: number;
  phase: 'begin' | 'go_on' | 'end';
}

/** Candles with a trade's lines; labels at the right edge never overlap, one of them may be dragged. */
export function PriceChart({
  bars,
  lines,
  marks,
  alsoShow,
  since,
  group,
  label,
  hasScale = true,
  onDrag,
  className,
}: {
  bars: readonly Bar[];
  lines: readonly ChartLine[];
  marks: readonly ChartMark[];
  /** Prices of the chart beside this one, so that both have one scale. */
  alsoShow: readonly number[];
  /** The chart keeps this time in view while it follows the market. */
  since: string | null;
  group: string;
  /** What the chart shows, for readers who do not see it. */
  label: string;
  hasScale?: boolean;
  onDrag?: (drag: DragOfLine) => void;
  className?: string;
}): ReactNode {
  const container = useRef<HTMLDivElement>(null);
  const island = useRef<PriceChartIsland | null>(null);
  const [layout, setLayout] = useState<ChartLayout | null>(null);
  const theme = useTheme((state) => state.theme);

  useEffect(() => {
    if (!container.current) return undefined;
    const created = new PriceChartIsland({ container: container.current, colors: readColors(), group, hasScale, onLayout: setLayout });
    island.current = created;
    return () => {
      island.current = null;
      created.dispose();
    };
  }, [group, hasScale]);
  useEffect(() => island.current?.setColors(readColors()), [theme, group, hasScale]);
  useEffect(() => island.current?.setBars(bars, since), [bars, since, group, hasScale]);
  useEffect(() => island.current?.setLines(lines, alsoShow), [lines, alsoShow, group, hasScale]);
  useEffect(() => island.current?.setMarks(marks), [marks, group, hasScale]);

  return (
    <div className={cn('relative flex min-h-0', className)} role="group" aria-label={label}>
      <div ref={container} className="h-full min-w-0 flex-1" aria-hidden />
      {layout && <MarkButtons marks={marks} layout={layout} />}
      <Labels
        lines={lines}
        layout={layout}
        priceAt={(clientY) => island.current?.priceAt(clientY) ?? null}
        onDrag={onDrag}
      />
    </div>
  );
}

function Labels({
  lines,
  layout,
  priceAt,
  onDrag,
}: {
  lines: readonly ChartLine[];
  layout: ChartLayout | null;
  priceAt: (clientY: number) => number | null;
  onDrag: ((drag: DragOfLine) => void) | undefined;
}): ReactNode {
  const places = useMemo(() => {
    if (!layout) return [];
    const wishes = lines.flatMap((line) => {
      const y = layout.lines[line.id];
      return y === undefined ? [] : [{ id: line.id, y, height: LABEL_HEIGHT }];
    });
    return stackLabels(wishes, layout.height, 1);
  }, [layout, lines]);
  return (
    <ul className="relative mr-1.5 w-[8.5rem] shrink-0 select-none sm:mr-2 text-2xs">
      {places.map((place) => {
        const line = lines.find((each) => each.id === place.id);
        if (!line) return null;
        const wish = layout?.lines[place.id] ?? place.y;
        return (
          <li key={line.id} className="absolute inset-x-0 top-0" style={{ transform: `translateY(${place.y - LABEL_HEIGHT / 2}px)` }}>
            <svg aria-hidden className="absolute top-0 left-0 h-[18px] w-2.5 overflow-visible" fill="none">
              <path
                d={leadPath(place.beyond, wish - place.y)}
                className={cn('opacity-70', LABEL_STYLE[line.kind])}
                stroke="currentColor"
              />
            </svg>
            <LabelBody line={line} priceAt={priceAt} onDrag={onDrag} />
          </li>
        );
      })}
    </ul>
  );
}

/** From the line's end to its label; an arrow up or down when the line lies outside the chart. */
function leadPath(beyond: 'above' | 'below' | null, offset: number): string {
  if (beyond === 'below') return 'M5 4v9M2 10l3 3l3-3';
  if (beyond === 'above') return 'M5 14v-9M2 8l3-3l3 3';
  return `M0 ${Math.max(-40, Math.min(40, offset)) + LABEL_HEIGHT / 2} L10 ${LABEL_HEIGHT / 2}`;
}

function LabelBody({
  line,
  priceAt,
  onDrag,
}: {
  line: ChartLine;
  priceAt: (clientY: number) => number | null;
  onDrag: ((drag: DragOfLine) => void) | undefined;
}): ReactNode {
  const isSlider = (line.isDraggable ?? false) && onDrag !== undefined;
  const drag = (event: PointerEvent, phase: DragOfLine['phase']): void => {
    const price = priceAt(event.clientY);
    if (price !== null && onDrag) onDrag({ lineId: line.id, price: toTick(price), phase });
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = event.key === 'ArrowUp' ? KEY_STEP_USD : event.key === 'ArrowDown' ? -KEY_STEP_USD : 0;
    if (step === 0 || !onDrag) return;
    event.preventDefault();
    const price = toTick(line.price + step * (event.shiftKey ? 10 : 1));
    onDrag({ lineId: line.id, price, phase: 'begin' });
    onDrag({ lineId: line.id, price, phase: 'end' });
  };
  const text = (
    <span className={cn('flex items-baseline justify-between gap-1 truncate pr-1 pl-3', LABEL_STYLE[line.kind], line.isMuted && 'opacity-50')}>
      <span className="truncate">
        {line.label}
      </span>
      <span className="whitespace-nowrap">{formatPrice(line.price)}</span>
    </span>
  );
  if (!isSlider) return <div className="h-[18px] leading-[18px]">{text}</div>;
  return (
    <div
      role="slider"
      tabIndex={0}
      aria-label={line.label}
      aria-orientation="vertical"
      aria-valuenow={line.price}
      aria-valuetext={formatPrice(line.price)}
      onKeyDown={onKeyDown}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        drag(event, 'begin');
      }}
      onPointerMove={(event) => {
        if (event.currentTarget.hasPointerCapture(event.pointerId)) drag(event, 'go_on');
      }}
      onPointerUp={(event) => drag(event, 'end')}
      className="h-[18px] cursor-ns-resize touch-none rounded-sm bg-accent/14 leading-[18px] outline-offset-0 hover:bg-accent/25"
    >
      {text}
    </div>
  );
}

function MarkButtons({ marks, layout }: { marks: readonly ChartMark[]; layout: ChartLayout }): ReactNode {
  return marks.map((mark) => {
    const place = layout.marks[mark.id];
    if (!place) return null;
    return (
      <Tooltip key={mark.id} label={mark.story}>
        <button
          type="button"
          aria-label={mark.story}
          className="absolute top-0 left-0 grid size-5 place-items-center rounded-full"
          style={{ transform: `translate(${place.x - 10}px, ${place.y - 10}px)` }}
        >
          <svg aria-hidden viewBox="0 0 20 20" className="size-5">
            {mark.kind === 'deed' ? (
              <circle cx="10" cy="10" r="5" className="fill-accent stroke-card" strokeWidth="2" />
            ) : (
              <path
                d="M5 5l10 10M15 5L5 15"
                strokeWidth="2.6"
                strokeLinecap="round"
                className={mark.kind === 'death' ? 'stroke-danger' : 'stroke-text'}
              />
            )}
          </svg>
        </button>
      </Tooltip>
    );
  });
}
