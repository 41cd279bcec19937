import { afterEach, describe, expect, test } from 'vitest';
import {
  NBSP,
  THIN,
  formatDuration,
  formatLeverage,
  formatMilliseconds,
  formatPrice,
  formatRatio,
  formatSats,
  formatSatsAbout,
  formatUsd,
  parseSats,
  parseShare,
  setUnitsLocale,
} from './units';

afterEach(() => setUnitsLocale('en'));

describe('sats', () => {
  test('are grouped in threes with thin spaces and carry their unit', () => {
    expect(formatSats(1_234_567)).toBe(`1${THIN}234${THIN}567${NBSP}sat`);
    expect(formatSats(0)).toBe(`0${NBSP}sat`);
  });
  test('show a true minus, and a plus only when asked', () => {
    expect(formatSats(-771_000)).toBe(`\u2212771${THIN}000${NBSP}sat`);
    expect(formatSats(208_000, { plus: true })).toBe(`+208${THIN}000${NBSP}sat`);
    expect(formatSats(0, { plus: true })).toBe(`0${NBSP}sat`);
  });
  test('that are unknown are a dash, never zero', () => {
    expect(formatSats(null)).toBe('–');
    expect(formatSats(undefined)).toBe('–');
  });
  test('in a sentence are rounded to thousands above ten thousand', () => {
    expect(formatSatsAbout(-770_828)).toBe(`\u2212771${THIN}000${NBSP}sat`);
    expect(formatSatsAbout(9_571)).toBe(`9${THIN}571${NBSP}sat`);
  });
  test.each(['208 000', '208.000', '208,000', `208${THIN}000${NBSP}sat`])('typed as %s are read', (text) => {
    expect(parseSats(text)).toBe(208_000);
  });
  test.each(['', '-5', '1e6', 'abc', '12.5x'])('typed as "%s" are refused', (text) => {
    expect(parseSats(text)).toBeNull();
  });
});

describe('prices', () => {
  test('are shown in half-dollars', () => {
    expect(formatPrice(60_784.5)).toBe(`60${THIN}784.5`);
    expect(formatPrice(62_000)).toBe(`62${THIN}000`);
    expect(formatPrice(62_000, { half: true })).toBe(`62${THIN}000.0`);
    expect(formatUsd(59_615.5)).toBe(`59${THIN}615.5${NBSP}USD`);
  });
  test('never show a fraction that the exchange does not have', () => {
    expect(formatPrice(60_784.49)).toBe(`60${THIN}784.5`);
    expect(formatPrice(60_784.24)).toBe(`60${THIN}784`);
  });
  test('use the comma in Portuguese', () => {
    setUnitsLocale('pt-BR');
    expect(formatPrice(60_784.5)).toBe(`60${THIN}784,5`);
    expect(formatRatio(0.0385, 2)).toBe(`3,85${NBSP}%`);
  });
});

describe('shares, leverage and times', () => {
  test('a share is a percentage with its sign', () => {
    expect(formatRatio(0.5, 0)).toBe(`50${NBSP}%`);
    expect(formatRatio(0.0385, 2)).toBe(`3.85${NBSP}%`);
    expect(formatRatio(-0.0004, 2)).toBe(`\u22120.04${NBSP}%`);
    expect(formatRatio(-0.00001, 2)).toBe(`0${NBSP}%`);
    expect(formatRatio(null)).toBe('–');
  });
  test('a typed percentage is a share', () => {
    expect(parseShare('50 %')).toBe(0.5);
    expect(parseShare('12,5')).toBe(0.125);
    expect(parseShare('x')).toBeNull();
  });
  test('leverage, milliseconds and ages carry their unit', () => {
    expect(formatLeverage(25)).toBe('25x');
    expect(formatLeverage(12.34)).toBe('12.3x');
    expect(formatMilliseconds(9)).toBe(`9${NBSP}ms`);
    expect(formatMilliseconds(1240)).toBe(`1.2${NBSP}s`);
    expect(formatDuration(4.9)).toBe(`4${NBSP}s`);
    expect(formatDuration(3 * 3600 + 12 * 60)).toBe(`3${NBSP}h 12${NBSP}min`);
  });
});
