import { describe, expect, test } from 'vitest';
import type { RuleBody, Trade } from '@/api/schema';
import { GUARDED, World } from '@/testing/story/world';
import { WATCH, isMovable, moveMark, shareAtPrice, withNewStep, withStep } from './rule-edit';
import { parsePrice } from './units';

const trade: Trade = new World(0).tradesOf(GUARDED)[0]!;
const short: Trade = { ...trade, side: 'short', liquidation_price: 64_583.5, full_room: (64_583.5 - 62_000) / 62_000 };
const body: RuleBody = {
  ...WATCH,
  steps: [
    { key: 'warn', trigger: { kind: 'room_share', share: 0.6 }, action: { kind: 'notify' } },
    { key: 'top_up', trigger: { kind: 'room_share', share: 0.5 }, action: { kind: 'top_up', refill_share: 1 } },
  ],
};

describe('dragging a line', () => {
  test('moves the step whose line it is, as a share of full room', () => {
    const moved = moveMark(body, { kind: 'top_up', key: 'top_up' }, 60_547, trade);
    expect(moved.steps[1]?.trigger).toEqual({ kind: 'room_share', share: 0.4 });
    expect(moved.preset).toBe('custom');
    expect(moved.steps[0]).toEqual(body.steps[0]);
  });
  test('past another step keeps them in order of room', () => {
    const moved = moveMark(body, { kind: 'top_up', key: 'top_up' }, 61_500, trade);
    expect(moved.steps.map((step) => step.key)).toEqual(['top_up', 'warn']);
  });
  test('writes a price where the step waits for a price, and finds the step by its kind', () => {
    const priced = withStep(body, 'top_up', { trigger: { kind: 'price', price: 60_000 } });
    expect(moveMark(priced, { kind: 'top_up', key: null }, 60_321.5, trade).steps[1]?.trigger).toEqual({ kind: 'price', price: 60_321.5 });
  });
  test('measures distance and used-up way from both sides', () => {
    const by = (trigger: RuleBody['steps'][number]['trigger'], of: Trade, price: number): unknown =>
      moveMark(withStep(body, 'top_up', { trigger }), { kind: 'top_up', key: 'top_up' }, price, of).steps[1]?.trigger;
    expect(by({ kind: 'distance', distance: 0.1 }, short, 63_300)).toEqual({ kind: 'distance', distance: 0.02 });
    expect(by({ kind: 'consumed', share: 0.1 }, short, 63_292)).toEqual({ kind: 'consumed', share: 0.5 });
    expect(by({ kind: 'consumed', share: 0.1 }, trade, 60_808)).toEqual({ kind: 'consumed', share: 0.5 });
  });
  test('moves the safety stop and the give-up price', () => {
    expect(moveMark(body, { kind: 'stop', key: 'stop' }, 60_100, trade).stop_share).toBe(0.21);
    expect(moveMark(body, { kind: 'give_up', key: 'give_up' }, 60_100, trade).give_up_price).toBe(60_100);
  });
  test('is not offered for a margin ratio, whose price moves by itself', () => {
    const ratio = withStep(body, 'top_up', { trigger: { kind: 'margin_ratio', ratio: 0.8 } });
    expect(isMovable({ kind: 'top_up', key: 'top_up' }, ratio)).toBe(false);
    expect(moveMark(ratio, { kind: 'top_up', key: 'top_up' }, 60_100, trade).steps[1]?.trigger).toEqual({ kind: 'margin_ratio', ratio: 0.8 });
    expect(isMovable({ kind: 'liquidation', key: 'liquidation' }, body)).toBe(false);
  });
});

test('a new step lies between the last one and the safety stop, under a name of its own', () => {
  const grown = withNewStep(withNewStep(body));
  expect(grown.steps).toHaveLength(4);
  expect(new Set(grown.steps.map((step) => step.key)).size).toBe(4);
  expect(grown.steps[2]?.trigger).toEqual({ kind: 'room_share', share: 0.31 });
});

test('a share of room is a whole percent between 1 and 99', () => {
  expect(shareAtPrice({ price: 90_000, liquidation: 59_615.5, fullRoom: 0.0385 })).toBe(0.99);
  expect(shareAtPrice({ price: 59_615.5, liquidation: 59_615.5, fullRoom: 0.0385 })).toBe(0.01);
});

test('prices are read as people of both languages write them', () => {
  for (const text of ['60 784.5', '60,784.5', '60.784,5', '60784,5 USD']) expect(parsePrice(text), text).toBe(60_784.5);
  expect(parsePrice('60.784')).toBe(60_784);
  for (const text of ['', '0', '60784.3', 'sixty', '-5']) expect(parsePrice(text), text).toBeNull();
});
