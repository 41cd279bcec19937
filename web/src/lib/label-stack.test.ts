import { describe, expect, test } from 'vitest';
import { stackLabels, type LabelWish } from './label-stack';

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

describe('stacked labels', () => {
  test('stay where they wish when nothing is in the way', () => {
    const places = stackLabels([{ id: 'a', y: 40, height: 18 }, { id: 'b', y: 90, height: 18 }], 200);
    expect(places.map((place) => Math.round(place.y))).toEqual([40, 90]);
  });
  test('share the shift when they collide', () => {
    const [a, b] = stackLabels([{ id: 'a', y: 100, height: 18 }, { id: 'b', y: 102, height: 18 }], 200);
    expect(b!.y - a!.y).toBeCloseTo(20, 5);
    expect((a!.y + b!.y) / 2).toBeCloseTo(101, 5);
  });
  test('tell when the line lies outside the chart', () => {
    const [high, low] = stackLabels([{ id: 'high', y: -50, height: 18 }, { id: 'low', y: 400, height: 18 }], 200);
    expect(high!.beyond).toBe('above');
    expect(low!.beyond).toBe('below');
    expect(low!.y).toBeLessThanOrEqual(200);
  });
  test('never overlap, keep their order and stay inside, whatever the wishes', () => {
    const next = random(7);
    for (let round = 0; round < 300; round += 1) {
      const wishes: LabelWish[] = Array.from({ length: 1 + Math.floor(next() * 7) }, (_, index) => ({
        id: `l${index}`,
        y: next() * 400 - 80,
        height: 18,
      }));
      const places = stackLabels(wishes, 240, 2);
      const wanted = [...wishes].sort((a, b) => a.y - b.y || a.id.localeCompare(b.id)).map((wish) => wish.id);
      expect(places.map((place) => place.id)).toEqual(wanted);
      places.forEach((place, index) => {
        const before = places[index - 1];
        if (before) expect(place.y - before.y).toBeGreaterThanOrEqual(20 - 1e-6);
        expect(place.y - 9).toBeGreaterThanOrEqual(-1e-6);
        expect(place.y + 9).toBeLessThanOrEqual(240 + 1e-6);
      });
    }
  });
});
