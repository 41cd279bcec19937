import { useQuery } from '@tanstack/react-query';
import { useMemo, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { ApiProblem, call } from '@/api/client';
import { TakeBack, type Trade } from '@/api/schema';
import { QueryStates } from '@/components/query-states';
import { RequestStatus } from '@/components/request-status';
import { Button } from '@/components/ui/button';
import { Dialog, DialogContent, DialogDescription, DialogFooter, DialogTitle } from '@/components/ui/dialog';
import { formatClock, formatPrice, formatRatio, formatSats } from '@/lib/units';
import { useCommand } from '@/lib/use-command';
import { useAccounts } from '@/stores/accounts';
import { tradePath } from './use-position';

/** Added sats back into the balance: what would come, from profit or from margin, and what it does to liquidation. */
export function TakeBackDialog({ trade, name, onDone }: { trade: Trade; name: string; onDone: () => void }): ReactNode {
  const { t } = useTranslation();
  const account = useAccounts((state) => state.items?.find((each) => each.exchange_account_id === trade.exchange_account_id));
  const path = `${tradePath(trade)}/take-back`;
  const query = useQuery({
    queryKey: ['guard', 'take-back', path],
    queryFn: async ({ signal }) => {
      try {
        return await call(path, { schema: TakeBack, signal });
      } catch (error) {
        if (error instanceof ApiProblem && error.status < 500 && error.code === 'nothing_to_take_back') return null;
        throw error;
      }
    },
  });
  const offer = query.data ?? null;
  const amount = offer?.amount_sats ?? 0;
  const body = useMemo(() => ({ amount_sats: amount }), [amount]);
  const command = useCommand(path, body);
  const isAsked = command.state.kind !== 'idle' && command.state.kind !== 'refused';
  return (
    <Dialog open onOpenChange={(isOpen) => !isOpen && onDone()}>
      <DialogContent>
        <DialogTitle>{t('take_back.title', { trade: name })}</DialogTitle>
        <DialogDescription>{t('take_back.text', { account: account?.name ?? '' })}</DialogDescription>
        <div className="mt-4">
          <QueryStates query={query} failed={t('take_back.unreadable')} />
          {query.isSuccess && offer === null && <p className="text-sm">{t('take_back.nothing')}</p>}
          {offer !== null && amount === 0 && <Held offer={offer} />}
          {offer !== null && amount > 0 && <Figures offer={offer} />}
        </div>
        <RequestStatus command={command} />
        <DialogFooter>
          <Button variant="outline" onClick={onDone}>
            {isAsked ? t('common.close') : t('common.cancel')}
          </Button>
          {!isAsked && amount > 0 && <Button onClick={command.ask}>{t('take_back.confirm', { amount: formatSats(amount) })}</Button>}
        </DialogFooter>
      </DialogContent>
    </Dialog>
  );
}

function Held({ offer }: { offer: TakeBack }): ReactNode {
  const { t } = useTranslation();
  const until = offer.held_until === null ? '' : ` ${t('take_back.until', { at: formatClock(offer.held_until) })}`;
  return (
    <p className="text-sm">
      {t('take_back.held', { returnable: formatSats(offer.returnable_sats) })} {t(`take_back.reason.${offer.held_by ?? 'unknown_facts'}`, { defaultValue: offer.held_by ?? '' })}
      {until}
    </p>
  );
}

function Figures({ offer }: { offer: TakeBack }): ReactNode {
  const { t } = useTranslation();
  const rows: [string, string][] = [
    [t('take_back.amount'), formatSats(offer.amount_sats)],
    [t('take_back.from_margin'), formatSats(offer.from_margin_sats)],
    [t('take_back.from_profit'), formatSats(offer.from_profit_sats)],
    [t('take_back.liquidation'), formatPrice(offer.liquidation_price)],
    [t('take_back.room'), formatRatio(offer.room_share, 0)],
    [t('take_back.stop'), formatPrice(offer.safety_stop_price)],
  ];
  return (
    <>
      <dl className="grid grid-cols-[1fr_auto] gap-x-4 gap-y-1 text-sm">
        {rows.map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="text-muted">{name}</dt>
            <dd className="text-right font-medium">{value}</dd>
          </div>
        ))}
      </dl>
      <p className={offer.realizes_profit ? 'mt-3 text-sm text-caution' : 'mt-3 text-sm text-muted'}>
        {t(offer.realizes_profit ? 'take_back.realizes' : 'take_back.margin_only')}
      </p>
    </>
  );
}
