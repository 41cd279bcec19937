/** Fields compared with the exchange, in words and units. */
import type { TFunction } from 'i18next';
import { nameOf } from './decision-rows';
import { UNKNOWN, formatInteger, formatPrice, formatSats } from './units';

export function fieldName(field: string, t: TFunction): string {
  return t(`check.field.${field}`, { defaultValue: nameOf(field) });
}

export function checkFigure(value: number | string | boolean | null, unit: string | null, t: TFunction): string {
  if (value === null) return UNKNOWN;
  if (typeof value === 'boolean') return t(value ? 'common.yes' : 'common.no');
  if (typeof value === 'string') return t(`check.value.${value}`, { defaultValue: value });
  if (unit === 'sats' || unit === 'sat') return formatSats(value);
  if (unit === 'usd_per_btc' || unit === 'price') return formatPrice(value);
  if (unit === 'usd') return `${formatInteger(value)}\u00a0USD`;
  return unit === null ? String(value) : `${value}\u00a0${unit}`;
}
