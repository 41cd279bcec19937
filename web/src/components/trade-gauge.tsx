import { useTranslation } from 'react-i18next';
import type { ReactNode } from 'react';
import type { Trade } from '@/api/schema';
import { gaugeWords } from '@/lib/gauge-words';
import { Gauge } from './gauge';

/** The gauge of one trade: the same picture in every row, card and page. */
export function TradeGauge({ trade, name, className }: { trade: Trade; name: string; className?: string }): ReactNode {
  const { t } = useTranslation();
  const { guard } = trade;
  const isOver = trade.status === 'closed';
  const spends = guard !== null && !guard.is_spending_stopped && guard.state !== 'unwatched';
  return (
    <Gauge
      liquidation={trade.liquidation_price}
      entry={trade.entry_price}
      price={isOver ? trade.exit_price : trade.last_price}
      marks={
        isOver
          ? []
          : [
              { kind: 'warn', price: guard?.warn_price ?? null },
              { kind: 'top_up', price: spends ? guard.top_up_price : null },
              { kind: 'stop', price: trade.stop_loss_price },
            ]
      }
      previousLiquidation={trade.initial_liquidation_price}
      twin={`${name}: ${gaugeWords(trade, t)}`}
      isDead={isOver && trade.close_reason === 'liquidation'}
      isMuted={isOver}
      className={className ?? ''}
    />
  );
}
