import { useMemo, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Trade } from '@/api/schema';
import { Button } from '@/components/ui/button';
import { Dialog, DialogContent, DialogDescription, DialogFooter, DialogTitle } from '@/components/ui/dialog';
import { Input } from '@/components/ui/input';
import { formatInteger, formatSats, parseSats } from '@/lib/units';
import { useAccounts } from '@/stores/accounts';
import { RequestStatus } from '@/components/request-status';
import { useCommand } from '@/lib/use-command';

export function AddMarginDialog({ trade, name, onDone }: { trade: Trade; name: string; onDone: () => void }): ReactNode {
  const { t } = useTranslation();
  const account = useAccounts((state) => state.items?.find((each) => each.exchange_account_id === trade.exchange_account_id));
  const [text, setText] = useState(formatInteger(trade.guard?.next_top_up_sats ?? 10_000));
  const amount = parseSats(text);
  const balance = account?.balance_sats ?? null;
  const isTooMuch = amount !== null && balance !== null && amount > balance;
  const isValid = amount !== null && amount > 0 && !isTooMuch;
  const body = useMemo(() => ({ amount_sats: amount }), [amount]);
  const command = useCommand(`/accounts/${trade.exchange_account_id}/trades/${trade.trade_id}/add-margin`, body);
  const isAsked = command.state.kind !== 'idle' && command.state.kind !== 'refused';
  return (
    <Dialog open onOpenChange={(isOpen) => !isOpen && onDone()}>
      <DialogContent>
        <DialogTitle>{t('add.title', { trade: name })}</DialogTitle>
        <DialogDescription>{t('add.text', { account: account?.name ?? '', balance: formatSats(balance) })}</DialogDescription>
        <label className="mt-4 block text-xs font-medium text-muted" htmlFor="add-amount">
          {t('add.amount')}
        </label>
        <div className="relative mt-1">
          <Input
            id="add-amount"
            inputMode="numeric"
            value={text}
            disabled={isAsked}
            aria-invalid={!isValid}
            onChange={(event) => setText(event.target.value)}
            onBlur={() => amount !== null && setText(formatInteger(amount))}
            className="pr-12 text-right"
          />
          <span className="absolute inset-y-0 right-3 grid place-items-center text-sm text-faint">sat</span>
        </div>
        {isTooMuch && <p className="mt-2 text-sm text-caution">{t('add.too_much', { balance: formatSats(balance) })}</p>}
        <RequestStatus command={command} />
        <DialogFooter>
          <Button variant="outline" onClick={onDone}>
            {isAsked ? t('common.close') : t('common.cancel')}
          </Button>
          {!isAsked && (
            <Button disabled={!isValid} onClick={command.ask}>
              {t('add.confirm', { amount: formatSats(amount) })}
            </Button>
          )}
        </DialogFooter>
      </DialogContent>
    </Dialog>
  );
}
