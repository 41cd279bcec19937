import type { TFunction } from 'i18next';
import type { Trade } from '@/api/schema';
import { formatPercentNumber, formatPrice, formatSats } from './units';

/** The gauge in words: "Room 2.1 of 3.85 %, top-up at 60 784.5". */
export function gaugeWords(trade: Trade, t: TFunction): string {
  if (trade.status === 'closed') {
    const price = formatPrice(trade.exit_price);
    return t(`gauge.closed_${trade.close_reason ?? 'unknown'}`, { price, returned: formatSats(trade.value_sats) });
  }
  if (trade.room === null || trade.full_room === null) return t('gauge.room_unknown');
  const room = t('gauge.room', {
    room: formatPercentNumber(Math.max(0, trade.room), 2),
    full: formatPercentNumber(trade.full_room, 2),
  });
  const { guard } = trade;
  if (!guard) return t('gauge.no_guard', { room });
  if (guard.state === 'unwatched') return t('gauge.unwatched', { room });
  if (guard.is_spending_stopped) return t('gauge.spending_stopped', { room });
  if (guard.top_up_price === null || guard.state === 'limit_used') return t('gauge.no_top_up', { room });
  return t('gauge.with_top_up', { room, price: formatPrice(guard.top_up_price) });
}
