import type { TFunction } from 'i18next';
import type { Trade } from '@/api/schema';
import { formatLeverage } from './units';

/** The label its owner gave, or leverage and side: "25x long". */
export function tradeName(trade: Trade, side: string): string {
  return trade.label ?? `${formatLeverage(trade.entry_leverage)} ${side}`;
}

export function nameOfTrade(trade: Trade, t: TFunction): string {
  return tradeName(trade, t(`words.side.${trade.side}`));
}
