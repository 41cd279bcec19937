import type { TFunction } from 'i18next';
import { Link } from '@tanstack/react-router';
import { MoreHorizontal } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Trade } from '@/api/schema';
import { SignedSats } from '@/components/amount';
import { TradeGauge } from '@/components/trade-gauge';
import { Badge } from '@/components/ui/badge';
import { Button } from '@/components/ui/button';
import {
  DropdownMenu,
  DropdownMenuContent,
  DropdownMenuItem,
  DropdownMenuTrigger,
} from '@/components/ui/dropdown-menu';
import { cn } from '@/lib/cn';
import { gaugeWords } from '@/lib/gauge-words';
import { tradeName } from '@/lib/trade-name';
import { formatPrice, formatSats } from '@/lib/units';
import { useDraft } from '@/stores/draft';
import { AddMarginDialog } from './add-margin-dialog';
import { CloseDialog } from './close-dialog';

/** One trade as a gauge with its text twin; pressing it shows the trade on the chart. */
export function TradeRow({ trade, isChosen, onChoose }: { trade: Trade; isChosen: boolean; onChoose: () => void }): ReactNode {
  const { t } = useTranslation();
  const { guard } = trade;
  const words = gaugeWords(trade, t);
  const isOver = trade.status === 'closed';
  const name = tradeName(trade, t(`words.side.${trade.side}`));
  return (
    <li
      data-testid={`trade-${trade.trade_id}`}
      className={cn(
        'relative rounded-lg border bg-card px-3 pt-1.5 pb-1.5',
        isChosen ? 'border-faint' : 'border-line',
        guard?.state === 'unwatched' && 'border-danger',
      )}
    >
      <div className="flex h-6 items-center gap-2">
        <button type="button" onClick={onChoose} aria-pressed={isChosen} className="text-sm font-semibold after:absolute after:inset-0 after:rounded-lg">
          {name}
        </button>
        <StateBadge trade={trade} />
        <SignedSats value={trade.result_sats} className="ml-auto text-sm font-medium" />
        {guard && !isOver && <TradeMenu trade={trade} name={name} />}
      </div>
      <TradeGauge trade={trade} name={name} />
      <p className="flex flex-wrap justify-between gap-x-3 text-xs text-muted">
        <span>{words}</span>
        <span className={cn('text-faint', guard?.is_spending_stopped && 'opacity-60')}>{tail(trade, t)}</span>
      </p>
    </li>
  );
}

function tail(trade: Trade, t: TFunction): string {
  const { guard } = trade;
  if (trade.status === 'closed') return trade.added_sats > 0 ? t('trade.added', { amount: formatSats(trade.added_sats) }) : '';
  if (!guard) return t('trade.liquidation_at', { price: formatPrice(trade.liquidation_price) });
  if (guard.state === 'unwatched') return '';
  if (guard.is_spending_stopped) return t('trade.not_covered_below', { price: formatPrice(trade.stop_loss_price ?? trade.liquidation_price) });
  if (guard.spent_sats > 0) return t('trade.spent_left', { left: formatSats(guard.left_sats) });
  return t('trade.may_spend', { limit: formatSats(guard.limit_sats) });
}

function StateBadge({ trade }: { trade: Trade }): ReactNode {
  const { t } = useTranslation();
  if (trade.status === 'closed') {
    const isDead = trade.close_reason === 'liquidation';
    return <Badge variant={isDead ? 'danger' : 'neutral'}>{t(`trade.closed_by.${trade.close_reason ?? 'unknown'}`)}</Badge>;
  }
  const state = trade.guard?.state;
  if (!state || state === 'calm') {
    return (trade.guard?.spent_sats ?? 0) > 0 ? <Badge variant="deed">{t('trade.state.topped_up')}</Badge> : null;
  }
  const variant = state === 'unwatched' ? 'danger' : state === 'acting' ? 'deed' : 'caution';
  return <Badge variant={variant}>{t(`trade.state.${state}`)}</Badge>;
}

function TradeMenu({ trade, name }: { trade: Trade; name: string }): ReactNode {
  const { t } = useTranslation();
  const [dialog, setDialog] = useState<'close' | 'add' | null>(null);
  const openRule = useDraft((state) => state.open);
  const { exchange_account_id: accountId, trade_id: tradeId } = trade;
  return (
    <>
      <DropdownMenu>
        <DropdownMenuTrigger asChild>
          <Button variant="ghost" size="icon-sm" className="relative -mr-2" aria-label={t('trade.actions', { trade: name })}>
            <MoreHorizontal />
          </Button>
        </DropdownMenuTrigger>
        <DropdownMenuContent>
          <DropdownMenuItem asChild>
            <Link to="/positions/$account/$trade" params={{ account: accountId, trade: tradeId }}>
              {t('trade.open_page')}
            </Link>
          </DropdownMenuItem>
          <DropdownMenuItem onSelect={() => openRule({ kind: 'trade', accountId, tradeId })}>{t('trade.change_rule')}</DropdownMenuItem>
          <DropdownMenuItem onSelect={() => setDialog('add')}>{t('trade.add_margin')}</DropdownMenuItem>
          <DropdownMenuItem onSelect={() => setDialog('close')}>{t('trade.close')}</DropdownMenuItem>
        </DropdownMenuContent>
      </DropdownMenu>
      {dialog === 'add' && <AddMarginDialog trade={trade} name={name} onDone={() => setDialog(null)} />}
      {dialog === 'close' && <CloseDialog trade={trade} name={name} onDone={() => setDialog(null)} />}
    </>
  );
}
