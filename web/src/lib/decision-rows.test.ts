import i18next from 'i18next';
import { describe, expect, test } from 'vitest';
import { outcomeRows, rowsOf, valueOf } from './decision-rows';

const inputs = {
  trade: { side: 'long', price: 62_000, margin_sats: 400_000, liquidation_price: 59_615.5, requested_at: '2026-11-23T19:34:56.301643+00:00' },
  trigger_price: 60_784.5,
  full_room: '4769/124000',
  steps: { warn: [2, true], top_up: [2, false] },
  pending: [[208_001, true]],
  spending: { is_stopped: false, balance_sats: null },
  seconds_to_liquidation: 12.01,
  outcome: { rung: 'top_up', amount_sats: 208_001 },
};
const plain = (rows: readonly (readonly [string, string])[]): Record<string, string> =>
  Object.fromEntries(rows.map(([name, value]) => [name, value.replace(/[\u202f\u00a0]/g, ' ')]));

describe('a decision in words', () => {
  test('shows prices in dollars and shares as percentages', () => {
    expect(plain(rowsOf(inputs, i18next.t))).toMatchObject({
      'trigger price': '60 784.5',
      'liquidation price': '59 615.5',
      'full room': '3.846 %',
      margin: '400 000 sat',
      'seconds to liquidation': '12 s',
    });
  });
  test('says unknown where a figure was not known', () => {
    expect(plain(rowsOf(inputs, i18next.t)).balance).toBe('–');
    expect(plain(rowsOf(inputs, i18next.t))['on the way']).toBe('208 001 sat, unknown');
  });
  test('names steps and never uses the words of the workshop', () => {
    const rows = { ...plain(rowsOf(inputs, i18next.t)), ...plain(outcomeRows(inputs, i18next.t)) };
    expect(rows).toMatchObject({ 'step “warn”': 'ready', 'step “top up”': 'acted', step: 'top up' });
    expect(JSON.stringify(rows)).not.toMatch(/rung|arm(ed|ing)|intent/i);
  });
  test('reads figures that were stored as text', () => {
    expect(valueOf('target_liquidation_price', '58446.5', i18next.t)).toBe('58\u202f446.5');
  });
});
