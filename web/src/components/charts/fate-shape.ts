/** Pure geometry of the picture of the two fates: two result lines on one time axis, and the gap between them. */

export interface Point {
  at: number;
  value: number;
}
export interface FatePicture {
  guarded: string;
  unguarded: string;
  /** Outline of the area between both lines while both live. */
  gap: string;
  zeroY: number;
  /** Places of the last value of each line, px. */
  guardedEnd: { x: number; y: number } | null;
  unguardedEnd: { x: number; y: number } | null;
  ticks: { value: number; y: number }[];
  timeTicks: { at: number; x: number }[];
}

const MOST_POINTS = 360;

/** Thins a line to at most `most` points, keeping first, last and every extreme of each bucket. */
export function thin(points: readonly Point[], most = MOST_POINTS): Point[] {
  if (points.length <= most) return [...points];
  const size = Math.ceil(points.length / (most / 2));
  const kept: Point[] = [];
  for (let from = 0; from < points.length; from += size) {
    const bucket = points.slice(from, from + size);
    const low = bucket.reduce((a, b) => (b.value < a.value ? b : a));
    const high = bucket.reduce((a, b) => (b.value > a.value ? b : a));
    kept.push(...(low.at <= high.at ? [low, high] : [high, low]));
  }
  const last = points.at(-1);
  if (last && kept.at(-1) !== last) kept.push(last);
  return kept;
}

/** A step of 1, 2 or 5 times a power of ten that yields about `wanted` ticks over `span`. */
export function niceStep(span: number, wanted: number): number {
  if (span <= 0) return 1;
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const times = [1, 2, 5, 10].find((each) => each * power >= rough) ?? 10;
  return times * power;
}

export function fatePicture(options: {
  guarded: readonly Point[];
  unguarded: readonly Point[];
  width: number;
  height: number;
  until?: number;
}): FatePicture | null {
  const { width, height } = options;
  const guarded = thin(options.guarded);
  const unguarded = thin(options.unguarded);
  const all = [...guarded, ...unguarded];
  if (all.length < 2) return null;
  const from = Math.min(...all.map((point) => point.at));
  const to = Math.max(options.until ?? 0, ...all.map((point) => point.at), from + 20_000);
  const low = Math.min(0, ...all.map((point) => point.value));
  const high = Math.max(0, ...all.map((point) => point.value));
  const pad = Math.max(1, (high - low) * 0.1);
  const x = (at: number): number => ((at - from) / (to - from)) * width;
  const y = (value: number): number => ((high + pad - value) / (high - low + 2 * pad)) * height;
  const path = (points: readonly Point[]): string =>
    points.map((point, index) => `${index === 0 ? 'M' : 'L'}${x(point.at).toFixed(1)} ${y(point.value).toFixed(1)}`).join('');
  const place = (point: Point | undefined): { x: number; y: number } | null =>
    point ? { x: x(point.at), y: y(point.value) } : null;
  const lastUnguarded = unguarded.at(-1);
  const together = guarded.filter((point) => lastUnguarded && point.at <= lastUnguarded.at);
  const gap =
    together.length > 1 && unguarded.length > 1
      ? `${path(together)}${[...unguarded].reverse().map((p) => `L${x(p.at).toFixed(1)} ${y(p.value).toFixed(1)}`).join('')}Z`
      : '';
  return {
    guarded: path(guarded),
    unguarded: path(unguarded),
    gap,
    zeroY: y(0),
    guardedEnd: place(guarded.at(-1)),
    unguardedEnd: place(lastUnguarded),
    ticks: valueTicks(low, high, y),
    timeTicks: timeTicks(from, to, x, Math.max(1, Math.floor(width / 90))),
  };
}

function valueTicks(low: number, high: number, y: (value: number) => number): { value: number; y: number }[] {
  const step = niceStep(Math.max(high - low, 1), 4);
  const ticks = [];
  for (let value = Math.ceil(low / step) * step; value <= high + 1e-9; value += step) ticks.push({ value, y: y(value) });
  return ticks;
}

function timeTicks(from: number, to: number, x: (at: number) => number, most: number): { at: number; x: number }[] {
  const steps = [5, 10, 15, 30, 60, 300, 600, 1800, 3600, 14_400, 86_400].map((each) => each * 1000);
  const step = steps.find((each) => (to - from) / each <= most) ?? 86_400_000;
  const ticks = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) ticks.push({ at, x: x(at) });
  return ticks;
}
