import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Trade } from '@/api/schema';
import { formatInteger, formatLeverage, formatPrice, formatRatio, formatSats } from '@/lib/units';

/** The figures of a position, as the exchange has them. */
export function PositionFacts({ trade }: { trade: Trade }): ReactNode {
  const { t } = useTranslation();
  const rows: [string, string][] = [
    ['entry', formatPrice(trade.entry_price)],
    ['liquidation', formatPrice(trade.liquidation_price)],
    ['room', trade.room === null ? '–' : `${formatRatio(Math.max(0, trade.room), 2)} / ${formatRatio(trade.full_room, 2)}`],
    ['stop', formatPrice(trade.stop_loss_price)],
    ['margin', formatSats(trade.margin_sats)],
    ['added', formatSats(trade.added_sats)],
    ['leverage', `${formatLeverage(trade.leverage)} (${formatLeverage(trade.entry_leverage)})`],
    ['quantity', `${formatInteger(trade.quantity_usd)}\u00a0USD`],
    ['fees', formatSats(trade.opening_fee_sats + trade.closing_fee_sats)],
    ['funding', formatSats(trade.funding_fees_sats)],
    ['value', formatSats(trade.value_sats)],
  ];
  return (
    <dl className="grid grid-cols-2 gap-x-4 gap-y-2 sm:grid-cols-4 lg:grid-cols-2 xl:grid-cols-3">
      {rows.map(([name, value]) => (
        <div key={name} className="min-w-0">
          <dt className="text-2xs text-faint">{t(`position.fact.${name}`)}</dt>
          <dd className="text-sm font-medium whitespace-nowrap">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
