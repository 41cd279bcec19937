/** Pure shaping of data for the price chart. */
import type { UTCTimestamp } from 'lightweight-charts';
import type { Candle } from '@/api/schema';

export type LineKind = 'entry' | 'liquidation' | 'warn' | 'top_up' | 'reduce' | 'close' | 'give_up' | 'stop' | 'take_profit' | 'conflict' | 'what_if';

export interface ChartLine {
  id: string;
  kind: LineKind;
  price: number;
  label: string;
  /** Earlier levels, oldest first: the level that held until `until`. */
  past?: readonly { price: number; until: string }[];
  /** The line begins here (it did not hold before). */
  startsAt?: string | null;
  /** The line ends here (the trade is over). */
  endsAt?: string | null;
  isDraggable?: boolean;
  /** Not in force at the moment (spending stopped, limit used). */
  isMuted?: boolean;
}

export interface ChartMark {
  id: string;
  kind: 'deed' | 'death' | 'exit';
  at: string;
  price: number;
  /** One sentence that tells what happened. */
  story: string;
}

export interface Bar {
  time: UTCTimestamp;
  open: number;
  high: number;
  low: number;
  close: number;
}

/** Return chart time: whole seconds shifted to the reader's zone, since the chart writes its axis in UTC. */
export function chartTime(iso: string): UTCTimestamp {
  const date = new Date(iso);
  return (Math.floor(date.getTime() / 1000) - date.getTimezoneOffset() * 60) as UTCTimestamp;
}

/** Return bars in strictly rising time; of two for one second the later in the list wins. */
export function toBars(candles: readonly Candle[]): Bar[] {
  const bars: Bar[] = [];
  for (const { at, open, high, low, close } of candles) {
    const bar = { time: chartTime(at), open, high, low, close };
    const last = bars.at(-1);
    if (last?.time === bar.time) bars[bars.length - 1] = bar;
    else if (!last || last.time < bar.time) bars.push(bar);
  }
  return bars;
}

/** How the bars given last become `next`: nothing, the newest ones alone, or all of them. */
export function barsChange(before: readonly Bar[], next: readonly Bar[]): 'none' | 'tail' | 'all' {
  if (next.length === 0) return before.length === 0 ? 'none' : 'all';
  if (before.length === 0 || before[0]?.time !== next[0]?.time) return 'all';
  const grown = next.length - before.length;
  if (grown < 0 || grown > 5) return 'all';
  return before[before.length - 1]?.time === next[before.length - 1]?.time ? 'tail' : 'all';
}

/** Return the time of the bar that covers `time`, the nearest earlier one, or the first. */
export function barTimeAt(bars: readonly Bar[], time: UTCTimestamp): UTCTimestamp | null {
  let low = 0;
  let high = bars.length - 1;
  if (high < 0) return null;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const bar = bars[middle];
    if (bar && bar.time <= time) low = middle;
    else high = middle - 1;
  }
  return bars[low]?.time ?? null;
}

/** Lines farther from the price than this stay outside the scale and are told by an arrow label. */
const FARTHEST_LINE = 0.045;

/** Return the price range that shows the bars in view and every line that is not too far away. */
export function rangeWithLines(
  range: { minValue: number; maxValue: number },
  lines: readonly ChartLine[],
  alsoShow: readonly number[] = [],
): { minValue: number; maxValue: number } {
  let { minValue, maxValue } = range;
  const middle = (range.minValue + range.maxValue) / 2;
  const near = Math.max(FARTHEST_LINE * middle, (range.maxValue - range.minValue) * 1.1);
  const prices = lines.flatMap((line) => [line.price, ...(line.past ?? []).map((each) => each.price)]);
  for (const price of [...prices, ...alsoShow]) {
    if (Math.abs(price - middle) > near) continue;
    minValue = Math.min(minValue, price);
    maxValue = Math.max(maxValue, price);
  }
  return { minValue, maxValue };
}

/** Return a price on the exchange's tick of half a dollar. */
export function toTick(price: number): number {
  return Math.round(price * 2) / 2;
}
