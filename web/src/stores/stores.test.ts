import { beforeEach, describe, expect, test } from 'vitest';
import type { Activity, Candle, RuleBody, RuleDocument, RuleView, Trade } from '@/api/schema';
import { GUARDED, World } from '@/testing/story/world';
import { mergeActivity } from './activity';
import { mergeCandles, useCandles } from './candles';
import { withSample } from './fates';
import { useMarket } from './market';
import { WATCH, withLimits } from '@/lib/rule-edit';
import { isDirty, useDraft, type Draft } from './draft';

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
  const stored: RuleDocument = { ...WATCH, rule_id: 'r', version: 4, scope: 'trade' };
  const view: RuleView = { own: stored, inherited: null, effective: stored };
  const reserve = (sats: number): ((body: RuleBody) => RuleBody) => (body) => withLimits(body, { reserve_sats: sats });
  beforeEach(() => {
    useDraft.getState().close();
    useDraft.getState().open({ kind: 'trade', accountId: 'a', tradeId: 't' });
    useDraft.getState().accept(view, WATCH);
  });
  const draft = (): Draft => useDraft.getState().draft;

  test('is not dirty before it is touched, and undo brings every step back', () => {
    const { edit, undo } = useDraft.getState();
    expect(isDirty(draft())).toBe(false);
    edit(reserve(1));
    edit(reserve(2));
    expect(isDirty(draft())).toBe(true);
    undo();
    expect(draft().body?.limits.reserve_sats).toBe(1);
    undo();
    undo();
    expect(isDirty(draft())).toBe(false);
  });
  test('takes a whole drag back in one step', () => {
    const { edit, undo } = useDraft.getState();
    edit(reserve(1), 'begin', { mark: 'top_up', price: 60_770 });
    for (const sats of [2, 3, 4]) edit(reserve(sats), 'go_on', { mark: 'top_up', price: 60_700 });
    edit(reserve(5), 'go_on', null);
    expect(draft().drag).toBeNull();
    undo();
    expect(draft().body?.limits.reserve_sats).toBe(0);
  });
  test('keeps what was dragged before the rule was read', () => {
    const { close, open, edit, accept, undo } = useDraft.getState();
    close();
    open({ kind: 'trade', accountId: 'a', tradeId: 't' });
    edit(reserve(7), 'begin');
    edit(reserve(8), 'go_on');
    accept(view, WATCH);
    expect(draft().body?.limits.reserve_sats).toBe(8);
    undo();
    expect(isDirty(draft())).toBe(false);
  });
  test('keeps the edits when someone else saved meanwhile', () => {
    const { edit, rebase } = useDraft.getState();
    edit(reserve(9));
    rebase({ ...view, own: { ...stored, version: 5 } });
    expect(draft()).toMatchObject({ version: 5, body: { limits: { reserve_sats: 9 } } });
  });
  test('starts from what is inherited when nothing is stored, as version 0', () => {
    const { close, open, accept } = useDraft.getState();
    close();
    open({ kind: 'account', accountId: 'a' });
    accept({ own: null, inherited: { ...stored, scope: 'user', stop_share: 0.2 }, effective: null }, WATCH);
    expect(draft()).toMatchObject({ version: 0, body: { stop_share: 0.2 } });
  });
});
