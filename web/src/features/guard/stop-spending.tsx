import { useMutation } from '@tanstack/react-query';
import { ChevronDown, CirclePause, Play } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { toast } from 'sonner';
import { call } from '@/api/client';
import { ResumedAnswer, SpendingAnswer, type Trade } from '@/api/schema';
import { Button } from '@/components/ui/button';
import { Dialog, DialogContent, DialogDescription, DialogFooter, DialogTitle } from '@/components/ui/dialog';
import {
  DropdownMenu,
  DropdownMenuContent,
  DropdownMenuItem,
  DropdownMenuLabel,
  DropdownMenuTrigger,
} from '@/components/ui/dropdown-menu';
import { formatClock, formatSats } from '@/lib/units';
import { useAccounts } from '@/stores/accounts';

const STOPPED_TOAST = 'spending-stopped';

interface Scope {
  exchange_account_id?: string;
  trade_id?: string;
}

/** One press: no further sat of the guard leaves. Stops, closes and alerts go on; resuming asks first. */
export function StopSpending({ chosen, chosenName }: { chosen: Trade | null; chosenName: string }): ReactNode {
  const { t } = useTranslation();
  const [isAsking, setAsking] = useState(false);
  const isStopped = useAccounts((state) => (state.items ?? []).some((each) => each.is_guarded && each.is_spending_stopped));
  const isTradeStopped = chosen?.guard?.is_spending_stopped ?? false;
  const stop = useMutation({
    mutationFn: (scope: Scope) => call('/guard/stop-spending', { method: 'POST', body: scope, schema: SpendingAnswer }),
    onSuccess: (answer) => {
      const sent = answer.already_sent
        .map((each) => t('stop.already_sent', { amount: formatSats(each.amount_sats), at: formatClock(each.sent_at) }))
        .join(' ');
      toast(t('stop.done'), { description: `${t('stop.done_detail')} ${sent}`.trim(), duration: 8000, id: STOPPED_TOAST });
    },
    onError: () => toast.error(t('stop.failed'), { description: t('stop.failed_detail'), duration: Infinity }),
  });
  const resume = useMutation({
    mutationFn: (scope: Scope) => call('/guard/resume-spending', { method: 'POST', body: scope, schema: ResumedAnswer }),
    onSuccess: (answer) => {
      setAsking(false);
      toast.dismiss(STOPPED_TOAST);
      if (answer.still_stopped.length > 0) toast(t('stop.still_stopped'));
    },
    onError: () => toast.error(t('stop.resume_failed')),
  });
  if (isStopped || isTradeStopped) {
    return (
      <>
        <Button variant="outline" size="sm" onClick={() => setAsking(true)} className="border-caution text-caution" aria-label={t('stop.resume')}>
          <Play />
          <span className="hidden sm:inline">{t('stop.resume')}</span>
        </Button>
        <Dialog open={isAsking} onOpenChange={setAsking}>
          <DialogContent>
            <DialogTitle>{t('stop.resume_title')}</DialogTitle>
            <DialogDescription>{t('stop.resume_text')}</DialogDescription>
            <DialogFooter>
              <Button variant="outline" onClick={() => setAsking(false)}>
                {t('common.cancel')}
              </Button>
              <Button
                disabled={resume.isPending}
                onClick={() =>
                  resume.mutate(isStopped || !chosen ? {} : { exchange_account_id: chosen.exchange_account_id, trade_id: chosen.trade_id })
                }
              >
                {t('stop.resume_confirm')}
              </Button>
            </DialogFooter>
          </DialogContent>
        </Dialog>
      </>
    );
  }
  return (
    <div className="flex">
      <Button
        variant="outline"
        size="sm"
        className="rounded-r-none border-r-0 px-2 sm:px-2.5"
        disabled={stop.isPending}
        onClick={() => stop.mutate({})}
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
            <DropdownMenuItem onSelect={() => stop.mutate({ exchange_account_id: chosen.exchange_account_id, trade_id: chosen.trade_id })}>
              {t('stop.trade', { trade: chosenName })}
            </DropdownMenuItem>
          )}
          {chosen?.guard && (
            <DropdownMenuItem onSelect={() => stop.mutate({ exchange_account_id: chosen.exchange_account_id })}>{t('stop.account')}</DropdownMenuItem>
          )}
          <DropdownMenuItem onSelect={() => stop.mutate({})}>{t('stop.all')}</DropdownMenuItem>
        </DropdownMenuContent>
      </DropdownMenu>
    </div>
  );
}
