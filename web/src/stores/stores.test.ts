import { beforeEach, describe, expect, test } from 'vitest';
import type { Activity, Candle, RuleChange, Trade } from '@/api/schema';
import { GUARDED, World } from '@/testing/story/world';
import { mergeActivity } from './activity';
import { mergeCandles, useCandles } from './candles';
import { withSample } from './fates';
import { useMarket } from './market';
import { isDirty, useView } from './view';

const at = (second: number): string => new Date(Date.UTC(2026, 10, 23, 2, 11, second)).toISOString();
const bar = (second: number, close: number): Candle => ({ at: at(second), open: close, high: close, low: close, close });

describe('candles', () => {
  beforeEach(() => useCandles.getState().reset());
  test('streamed before the history arrives survive it', () => {
    useCandles.getState().accept(bar(5, 10));
    useCandles.getState().fill([bar(4, 8), bar(5, 9)]);
    expect(useCandles.getState().items.map((each) => each.close)).toEqual([8, 10]);
  });
  test('of the same second replace each other, late ones take their place', () => {
    for (const each of [bar(1, 1), bar(3, 3), bar(3, 4), bar(2, 2)]) useCandles.getState().accept(each);
    expect(useCandles.getState().items.map((each) => each.close)).toEqual([1, 2, 4]);
  });
  test('are kept in time order without doubles', () => {
    expect(mergeCandles([bar(3, 3), bar(1, 1)], [bar(1, 9)]).map((each) => each.close)).toEqual([9, 3]);
  });
});

test('activity is newest first and each entry stands once', () => {
  const entry = (id: string, second: number): Activity => ({
    activity_id: id, at: at(second), exchange_account_id: null, trade_id: null, severity: 'info', kind: 'stop_set', data: {}, decision_id: null,
  });
  const merged = mergeActivity([entry('a', 1), entry('b', 2)], [entry('b', 2), entry('c', 3)]);
  expect(merged.map((item) => item.activity_id)).toEqual(['c', 'b', 'a']);
});

test('the price knows where it moves', () => {
  const price = { bid_price: null, ask_price: null, index_price: null, funding_rate: null, funding_at: null, price_at: at(0), age_s: 0 };
  const { accept } = useMarket.getState();
  accept({ ...price, last_price: 62_000 });
  accept({ ...price, last_price: 61_999.5 });
  expect(useMarket.getState().direction).toBe('down');
  accept({ ...price, last_price: 61_999.5 });
  expect(useMarket.getState().direction).toBe('down');
});

describe('fates', () => {
  const world = new World(0);
  const trade = (patch: Partial<Trade>): Trade => ({ ...world.tradesOf(GUARDED)[0]!, ...patch });
  test('grow by one sample a frame and never go back in time', () => {
    let samples = withSample([], trade({ result_sats: -10 }), 1_000);
    samples = withSample(samples, trade({ result_sats: -20 }), 2_000);
    samples = withSample(samples, trade({ result_sats: -30 }), 2_000);
    expect(samples).toEqual([{ at: 1_000, result_sats: -10 }, { at: 2_000, result_sats: -20 }]);
  });
  test('end where the trade ended, whatever was sampled after', () => {
    const dead = trade({ closed_at: new Date(1_500).toISOString(), result_sats: -420_399 });
    let samples = withSample([], trade({ result_sats: -10 }), 1_000);
    samples = withSample(samples, trade({ result_sats: -20 }), 2_000);
    samples = withSample(samples, dead, 2_200);
    samples = withSample(samples, dead, 9_000);
    expect(samples).toEqual([{ at: 1_000, result_sats: -10 }, { at: 1_500, result_sats: -420_399 }]);
  });
  test('leave out what is not known', () => {
    expect(withSample([], trade({ result_sats: null }), 1_000)).toEqual([]);
  });
});

describe('the drafted guard', () => {
  const stored: RuleChange = {
    top_up_share: 0.5, refill_share: 1, position_limit_sats: 400_000, max_count: 3, stop_share: 0.12, warn_share: 0.6, version: 4,
  };
  beforeEach(() => useView.getState().openRule('a', 't', stored));
  test('is not dirty before it is touched, and undo brings every step back', () => {
    const view = useView.getState();
    expect(isDirty(useView.getState().draft!)).toBe(false);
    view.editRule({ top_up_share: 0.4 });
    view.editRule({ position_limit_sats: 300_000 });
    expect(isDirty(useView.getState().draft!)).toBe(true);
    view.undoRule();
    expect(useView.getState().draft!.change).toEqual({ ...stored, top_up_share: 0.4 });
    view.undoRule();
    expect(isDirty(useView.getState().draft!)).toBe(false);
    view.undoRule();
    expect(useView.getState().draft!.change).toEqual(stored);
  });
  test('takes a whole drag back in one step', () => {
    const view = useView.getState();
    view.editRule({ top_up_share: 0.49 }, 'begin', 60_770);
    for (const share of [0.48, 0.47, 0.4]) view.editRule({ top_up_share: share }, 'go_on', 60_700);
    view.editRule({ top_up_share: 0.4 }, 'go_on', null);
    expect(useView.getState().draft!.dragPrice).toBeNull();
    view.undoRule();
    expect(useView.getState().draft!.change.top_up_share).toBe(0.5);
  });
  test('keeps the edits when someone else saved meanwhile', () => {
    const view = useView.getState();
    view.editRule({ top_up_share: 0.4 });
    view.rebaseRule({ ...stored, position_limit_sats: 100_000, version: 5 });
    expect(useView.getState().draft!.change).toMatchObject({ top_up_share: 0.4, version: 5 });
    view.undoRule();
    expect(useView.getState().draft!.change.version).toBe(5);
  });
});
