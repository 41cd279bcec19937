import { describe, expect, test } from 'vitest';
import type { UTCTimestamp } from 'lightweight-charts';
import { barTimeAt, barsChange, rangeWithLines, toBars, toTick, type Bar, type ChartLine } from './chart-shape';
import { fatePicture, niceStep, thin } from './fate-shape';

const bar = (time: number): Bar => ({ time: time as UTCTimestamp, open: 1, high: 1, low: 1, close: 1 });
const line = (price: number): ChartLine => ({ id: 'x', kind: 'stop', price, label: '' });

describe('bars', () => {
  test('rise strictly in time, the later of two for one second wins', () => {
    const candle = (at: string, close: number) => ({ at, open: 1, high: 1, low: 1, close });
    const bars = toBars([candle('2026-01-01T00:00:01Z', 1), candle('2026-01-01T00:00:01.900Z', 2), candle('2026-01-01T00:00:00Z', 3)]);
    expect(bars.map((each) => each.close)).toEqual([2]);
  });
  test('tell whether only the newest changed', () => {
    const before = [bar(1), bar(2)];
    expect(barsChange([], before)).toBe('all');
    expect(barsChange(before, [bar(1), bar(2)])).toBe('tail');
    expect(barsChange(before, [bar(1), bar(2), bar(3)])).toBe('tail');
    expect(barsChange(before, [bar(0), bar(1), bar(2)])).toBe('all');
    expect(barsChange(before, [bar(1)])).toBe('all');
  });
  test('are found by the time they cover', () => {
    const bars = [bar(10), bar(20), bar(30)];
    expect(barTimeAt(bars, 25 as UTCTimestamp)).toBe(20);
    expect(barTimeAt(bars, 5 as UTCTimestamp)).toBe(10);
    expect(barTimeAt([], 5 as UTCTimestamp)).toBeNull();
  });
});

test('the scale shows near lines and leaves far ones outside', () => {
  const range = { minValue: 61_900, maxValue: 62_050 };
  expect(rangeWithLines(range, [line(59_615.5), line(40_000)], [60_000])).toEqual({ minValue: 59_615.5, maxValue: 62_050 });
});

test('a dragged price lies on the tick of half a dollar', () => {
  expect(toTick(60_784.31)).toBe(60_784.5);
  expect(toTick(60_784.2)).toBe(60_784);
});

describe('the picture of the two fates', () => {
  test('ends the dead line where it died and measures the gap to it', () => {
    const guarded = [{ at: 0, value: 0 }, { at: 50_000, value: -400 }, { at: 90_000, value: -100 }];
    const unguarded = [{ at: 0, value: 0 }, { at: 50_000, value: -420 }];
    const picture = fatePicture({ guarded, unguarded, width: 900, height: 100 })!;
    expect(picture.unguardedEnd!.x).toBeCloseTo(500, 5);
    expect(picture.guardedEnd!.x).toBeCloseTo(900, 5);
    expect(picture.unguardedEnd!.y).toBeGreaterThan(picture.guardedEnd!.y);
    expect(picture.zeroY).toBeLessThan(picture.guardedEnd!.y);
  });
  test('is not drawn from a single sample', () => {
    expect(fatePicture({ guarded: [{ at: 0, value: 0 }], unguarded: [], width: 900, height: 100 })).toBeNull();
  });
  test('keeps extremes when a line is thinned', () => {
    const points = Array.from({ length: 5_000 }, (_, index) => ({ at: index, value: index === 2_345 ? -999 : Math.sin(index) }));
    const kept = thin(points, 300);
    expect(kept.length).toBeLessThanOrEqual(320);
    expect(Math.min(...kept.map((point) => point.value))).toBe(-999);
    expect(kept.at(-1)).toEqual(points.at(-1));
  });
  test('labels its axis in round steps', () => {
    expect(niceStep(420_000, 4)).toBe(200_000);
    expect(niceStep(90, 4)).toBe(50);
  });
});
