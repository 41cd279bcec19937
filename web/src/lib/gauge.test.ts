import { describe, expect, test } from 'vitest';
import { gaugeScale } from './gauge';

describe('the gauge of distance', () => {
  test('puts liquidation at the left and the entry to the right of it, for a long and for a short', () => {
    const long = gaugeScale({ liquidation: 59_615.5, entry: 62_000, price: 61_000 });
    const short = gaugeScale({ liquidation: 64_583.5, entry: 62_000, price: 63_000 });
    for (const scale of [long, short]) expect(scale.entry).toBeCloseTo(1 / 1.3, 3);
    expect(long.at(59_615.5)).toBe(0);
    expect(short.at(64_583.5)).toBe(0);
  });
  test('moves the needle left when the price nears liquidation, for a long and for a short', () => {
    const long = gaugeScale({ liquidation: 59_615.5, entry: 62_000 });
    expect(long.at(60_000)).toBeLessThan(long.at(61_000));
    const short = gaugeScale({ liquidation: 64_583.5, entry: 62_000 });
    expect(short.at(64_000)).toBeLessThan(short.at(63_000));
  });
  test('keeps every price inside the picture', () => {
    const scale = gaugeScale({ liquidation: 59_615.5, entry: 62_000, price: 70_000 });
    expect(scale.at(70_000)).toBeCloseTo(0.97, 5);
    expect(scale.at(90_000)).toBe(1);
    expect(scale.at(50_000)).toBe(0);
  });
});
