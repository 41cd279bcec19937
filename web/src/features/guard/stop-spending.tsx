import { ChevronDown, CirclePause, Play } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Trade } from '@/api/schema';
import { Button } from '@/components/ui/button';
import {
  DropdownMenu,
  DropdownMenuContent,
  DropdownMenuItem,
  DropdownMenuLabel,
  DropdownMenuTrigger,
} from '@/components/ui/dropdown-menu';
import { useAccounts } from '@/stores/accounts';
import { ResumeDialog } from './resume-dialog';
import { useSpending } from './use-spending';

/** One press: no further sat of the guard leaves. Stops, closes and alerts go on; resuming asks first. */
export function StopSpending({ chosen, chosenName }: { chosen: Trade | null; chosenName: string }): ReactNode {
  const { t } = useTranslation();
  const [isAsking, setAsking] = useState(false);
  const isStopped = useAccounts((state) => (state.items ?? []).some((each) => each.is_guarded && each.is_spending_stopped));
  const isTradeStopped = chosen?.guard?.is_spending_stopped ?? false;
  const spending = useSpending();
  if (isStopped || isTradeStopped) {
    return (
      <>
        <Button variant="outline" size="sm" onClick={() => setAsking(true)} className="border-caution text-caution" aria-label={t('stop.resume')}>
          <Play />
          <span className="hidden sm:inline">{t('stop.resume')}</span>
        </Button>
        {isAsking && (
          <ResumeDialog
            isBusy={spending.isBusy}
            onDone={() => setAsking(false)}
            onConfirm={() =>
              spending.resume(
                isStopped || !chosen ? {} : { exchange_account_id: chosen.exchange_account_id, trade_id: chosen.trade_id },
                () => setAsking(false),
              )
            }
          />
        )}
      </>
    );
  }
  return (
    <div className="flex">
      <Button
        variant="outline"
        size="sm"
        className="rounded-r-none border-r-0 px-2 sm:px-2.5"
        disabled={spending.isBusy}
        onClick={() => spending.stop({})}
        aria-label={t('stop.now')}
      >
        <CirclePause />
        <span className="hidden sm:inline">{t('stop.now')}</span>
      </Button>
      <DropdownMenu>
        <DropdownMenuTrigger asChild>
          <Button variant="outline" size="sm" className="rounded-l-none px-1.5" aria-label={t('stop.scope')}>
            <ChevronDown />
          </Button>
        </DropdownMenuTrigger>
        <DropdownMenuContent>
          <DropdownMenuLabel>{t('stop.scope')}</DropdownMenuLabel>
          {chosen?.guard && (
            <DropdownMenuItem onSelect={() => spending.stop({ exchange_account_id: chosen.exchange_account_id, trade_id: chosen.trade_id })}>
              {t('stop.trade', { trade: chosenName })}
            </DropdownMenuItem>
          )}
          {chosen?.guard && (
            <DropdownMenuItem onSelect={() => spending.stop({ exchange_account_id: chosen.exchange_account_id })}>{t('stop.account')}</DropdownMenuItem>
          )}
          <DropdownMenuItem onSelect={() => spending.stop({})}>{t('stop.all')}</DropdownMenuItem>
        </DropdownMenuContent>
      </DropdownMenu>
    </div>
  );
}
