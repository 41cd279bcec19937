import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Trade } from '@/api/schema';
import { Button } from '@/components/ui/button';
import { Dialog, DialogContent, DialogDescription, DialogFooter, DialogTitle } from '@/components/ui/dialog';
import { formatPrice, formatSats } from '@/lib/units';
import { useAccounts } from '@/stores/accounts';
import { RequestStatus } from '@/components/request-status';
import { useCommand } from '@/lib/use-command';

const NOTHING = {};

export function CloseDialog({ trade, name, onDone }: { trade: Trade; name: string; onDone: () => void }): ReactNode {
  const { t } = useTranslation();
  const account = useAccounts((state) => state.items?.find((each) => each.exchange_account_id === trade.exchange_account_id));
  const command = useCommand(`/accounts/${trade.exchange_account_id}/trades/${trade.trade_id}/close`, NOTHING);
  const isAsked = command.state.kind !== 'idle' && command.state.kind !== 'refused';
  return (
    <Dialog open onOpenChange={(isOpen) => !isOpen && onDone()}>
      <DialogContent>
        <DialogTitle>{t('close.title', { trade: name })}</DialogTitle>
        <DialogDescription>
          {t('close.text', {
            account: account?.name ?? '',
            returns: formatSats(trade.value_sats),
            result: formatSats(trade.result_sats, { plus: true }),
            price: formatPrice(trade.last_price),
          })}
        </DialogDescription>
        <RequestStatus command={command} />
        <DialogFooter>
          <Button variant="outline" onClick={onDone}>
            {isAsked ? t('common.close') : t('common.cancel')}
          </Button>
          {!isAsked && (
            <Button variant="destructive" onClick={command.ask}>
              {t('close.confirm')}
            </Button>
          )}
        </DialogFooter>
      </DialogContent>
    </Dialog>
  );
}
