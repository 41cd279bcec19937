/**
 * A decision's inputs as rows of words.
 *
 * Prices come in USD; shares are exact fractions such as "4769/124000". Here they become figures with units.
 */
import type { TFunction } from 'i18next';
import { UNKNOWN, formatClock, formatDuration, formatInteger, formatPrice, formatRatio, formatSats } from './units';

export type Row = readonly [name: string, value: string];

const INSTANT = /^\d{4}-\d{2}-\d{2}T/;
const FRACTION = /^(-?\d+)\/(\d+)$/;
const DECIMAL = /^\d+(\.\d+)?$/;
const WHOLE = /^-?\d+$/;
/** The ledger's names that have another name for readers. */
const NAMES: Record<string, string> = { rung: 'step', last_price: 'last price', price: 'price of the P&L' };

/** Return rows of one level: what is nested stands under its own names, what is empty is left out. */
export function rowsOf(inputs: Record<string, unknown>, t: TFunction): Row[] {
  return Object.entries(inputs).flatMap(([name, value]): Row[] => {
    if (name === 'outcome') return [];
    if (name === 'steps') return stepRows(value, t);
    if (name === 'pending') return pendingRows(value, t);
    if (isRecord(value)) return rowsOf(value, t);
    return [[nameOf(name), valueOf(name, value, t)]];
  });
}

/** What was decided: the part of the inputs that the decision itself produced. */
export function outcomeRows(inputs: Record<string, unknown>, t: TFunction): Row[] {
  return isRecord(inputs.outcome) ? rowsOf(inputs.outcome, t) : [];
}

/** Field names in readable form: "liquidation_price" is "liquidation price". */
export function nameOf(name: string): string {
  return NAMES[name] ?? name.replace(/_(sats|usd|s|ms)$/, '').replaceAll('_', ' ');
}

/** One value with its unit, by the name of its field. */
export function valueOf(name: string, value: unknown, t: TFunction): string {
  if (value === null || value === undefined || value === '') return UNKNOWN;
  if (typeof value === 'boolean') return t(value ? 'common.yes' : 'common.no');
  if (typeof value === 'string') {
    if (name.endsWith('_price') && DECIMAL.test(value)) return formatPrice(Number(value));
    const fraction = FRACTION.exec(value);
    if (fraction) return formatRatio(Number(fraction[1]) / Number(fraction[2]), 3);
    if (INSTANT.test(value)) return formatClock(value, { milliseconds: true });
    if (WHOLE.test(value)) return valueOf(name, Number(value), t);
    return t(`words.step.${value}`, { defaultValue: t(`words.reason.${value}`, { defaultValue: value }) });
  }
  if (typeof value !== 'number') return JSON.stringify(value);
  if (name.endsWith('_sats')) return formatSats(value);
  if (/(^|_)price$/.test(name)) return formatPrice(value);
  if (/room|share/.test(name)) return formatRatio(value, 3);
  if (name.endsWith('_usd')) return `${formatInteger(value)} USD`;
  if (/(^seconds_|_s$)/.test(name)) return formatDuration(value);
  return Number.isInteger(value) ? formatInteger(value) : value.toFixed(3);
}

function stepRows(steps: unknown, t: TFunction): Row[] {
  if (!isRecord(steps)) return [];
  return Object.entries(steps).map(([name, state]) => {
    const isReady = Array.isArray(state) && state[1] === true;
    const words = t(`words.step.${name}`, { defaultValue: nameOf(name) });
    return [t('decision.step', { name: words }), t(isReady ? 'decision.step_ready' : 'decision.step_done')];
  });
}

function pendingRows(pending: unknown, t: TFunction): Row[] {
  if (!Array.isArray(pending)) return [];
  return pending.map((each: unknown): Row => {
    const [amount, isUnknown] = Array.isArray(each) ? (each as unknown[]) : [];
    const sats = typeof amount === 'number' ? formatSats(amount) : UNKNOWN;
    return [t('decision.on_the_way'), isUnknown === true ? `${sats}, ${t('decision.state.unknown')}` : sats];
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
