/** The only place that turns amounts, prices, shares and ages into words. Every result carries its unit. */

/** Narrow no-break space: groups of three stay together on one line. */
export const THIN = '\u202f';
/** No-break space between a figure and its unit. */
export const NBSP = '\u00a0';
const MINUS = '\u2212';
export const UNKNOWN = '–';

export type Locale = 'en' | 'pt-BR';
let decimalMark = '.';

/** Chooses the decimal mark of the reader's language; called once per change of language. */
export function setUnitsLocale(locale: string): void {
  decimalMark = locale.startsWith('pt') ? ',' : '.';
}

function groupThrees(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

function signed(value: number, text: string, withPlus: boolean): string {
  if (value < 0) return `${MINUS}${text}`;
  return withPlus && value > 0 ? `+${text}` : text;
}

/** "1 234 567" without a unit: only for places whose column heading names it. */
export function formatInteger(value: number, options: { plus?: boolean } = {}): string {
  const whole = Math.round(value);
  return signed(whole, groupThrees(Math.abs(whole).toString()), options.plus ?? false);
}

/** "208 000 sat", "−771 000 sat"; unknown is a dash, never 0. */
export function formatSats(value: number | null | undefined, options: { plus?: boolean } = {}): string {
  if (value === null || value === undefined) return UNKNOWN;
  return `${formatInteger(value, options)}${NBSP}sat`;
}

/** Sats rounded for a sentence: "about 48 000 sat" style figures, to the nearest thousand above 10 000. */
export function formatSatsAbout(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  return formatSats(Math.abs(value) >= 10_000 ? Math.round(value / 1000) * 1000 : value);
}

/** "60 784.5": a price in half-dollars, the half shown only when it is there unless `half` asks for it always. */
export function formatPrice(value: number | null | undefined, options: { half?: boolean } = {}): string {
  if (value === null || value === undefined) return UNKNOWN;
  const halves = Math.round(value * 2);
  const whole = Math.trunc(Math.abs(halves) / 2);
  const isHalf = Math.abs(halves) % 2 === 1;
  const tail = isHalf ? `${decimalMark}5` : options.half ? `${decimalMark}0` : '';
  return signed(halves, groupThrees(whole.toString()) + tail, false);
}

/** "60 784.5 USD". */
export function formatUsd(value: number | null | undefined, options: { half?: boolean } = {}): string {
  if (value === null || value === undefined) return UNKNOWN;
  return `${formatPrice(value, options)}${NBSP}USD`;
}

/** A share as percent: 0.0385 with 2 digits is "3.85 %"; trailing zeros are dropped. */
export function formatRatio(value: number | null | undefined, digits = 1): string {
  if (value === null || value === undefined) return UNKNOWN;
  return `${formatPercentNumber(value, digits)}${NBSP}%`;
}

/** The figure of a percentage without its sign, for "2.1 of 3.85 %". */
export function formatPercentNumber(value: number, digits = 1): string {
  const text = Math.abs(value * 100).toFixed(digits);
  const trimmed = text.includes('.') ? text.replace(/\.?0+$/, '') : text;
  const [whole = '0', rest] = trimmed.split('.');
  const body = groupThrees(whole) + (rest ? decimalMark + rest : '');
  return body === '0' ? '0' : signed(value, body, false);
}

/** "25x"; one decimal when the leverage is not whole. */
export function formatLeverage(value: number): string {
  const rounded = Math.round(value * 10) / 10;
  return `${rounded.toString().replace('.', decimalMark)}x`;
}

/** "9 ms", "1.2 s". */
export function formatMilliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 1000) return `${Math.round(value)}${NBSP}ms`;
  return `${(value / 1000).toFixed(1).replace('.', decimalMark)}${NBSP}s`;
}

/** "4 s", "3 min", "2 h", "5 d": whole units, rounded down so that an age is never shown younger by a unit. */
export function formatDuration(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s}${NBSP}s`;
  if (s < 3600) return `${Math.floor(s / 60)}${NBSP}min`;
  if (s < 86_400) {
    const minutes = Math.floor((s % 3600) / 60);
    const hours = `${Math.floor(s / 3600)}${NBSP}h`;
    return minutes > 0 ? `${hours} ${minutes}${NBSP}min` : hours;
  }
  return `${Math.floor(s / 86_400)}${NBSP}d`;
}

/** "02:11:07" in the reader's own time zone. */
export function formatClock(iso: string, options: { milliseconds?: boolean } = {}): string {
  const date = new Date(iso);
  const pad = (n: number, width = 2): string => n.toString().padStart(width, '0');
  const base = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return options.milliseconds ? `${base}${decimalMark}${pad(date.getMilliseconds(), 3)}` : base;
}

/** Reads an amount typed by a person ("208 000", "208.000", "208,000") as whole sats, or null. */
export function parseSats(text: string): number | null {
  const digits = text.replace(/[\s\u202f\u00a0.,]/g, '').replace(/sats?$/i, '');
  if (!/^\d{1,15}$/.test(digits)) return null;
  return Number(digits);
}

/** Reads a percentage typed by a person ("50", "50 %", "12,5") as a share, or null. */
export function parseShare(text: string): number | null {
  const body = text.replace(/[\s\u202f\u00a0%]/g, '').replace(',', '.');
  if (!/^\d{1,3}(\.\d{1,3})?$/.test(body)) return null;
  return Number(body) / 100;
}

/** Reads a price typed by a person ("60 784.5", "60.784,5", "60,784.5") as a half-dollar, or null. */
export function parsePrice(text: string): number | null {
  const body = text.replace(/[\s\u202f\u00a0]/g, '').replace(/usd$/i, '');
  const tail = /[.,](\d)$/.exec(body)?.[1];
  const whole = (tail === undefined ? body : body.slice(0, -2)).replace(/[.,]/g, '');
  if (!/^\d{1,9}$/.test(whole) || (tail !== undefined && tail !== '0' && tail !== '5')) return null;
  const price = Number(whole) + (tail === '5' ? 0.5 : 0);
  return price > 0 ? price : null;
}
