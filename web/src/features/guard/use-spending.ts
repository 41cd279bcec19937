/** Stopping and resuming what the guard may spend, for a trade, an account or all. */
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { toast } from 'sonner';
import { call } from '@/api/client';
import { ResumedAnswer, SpendingAnswer } from '@/api/schema';
import { formatClock, formatSats } from '@/lib/units';

const STOPPED_TOAST = 'spending-stopped';

export interface SpendingScope {
  exchange_account_id?: string;
  trade_id?: string;
}

export interface Spending {
  stop: (scope: SpendingScope) => void;
  resume: (scope: SpendingScope, onDone: () => void) => void;
  isBusy: boolean;
}

export function useSpending(): Spending {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const stop = useMutation({
    mutationFn: (scope: SpendingScope) => call('/guard/stop-spending', { method: 'POST', body: scope, schema: SpendingAnswer }),
    onSuccess: (answer) => {
      const sent = answer.already_sent
        .map((each) => t('stop.already_sent', { amount: formatSats(each.amount_sats), at: formatClock(each.sent_at) }))
        .join(' ');
      toast(t('stop.done'), { description: `${t('stop.done_detail')} ${sent}`.trim(), duration: 8000, id: STOPPED_TOAST });
      void queries.invalidateQueries({ queryKey: ['guard'] });
    },
    onError: () => toast.error(t('stop.failed'), { description: t('stop.failed_detail'), duration: Infinity }),
  });
  const resume = useMutation({
    mutationFn: ({ scope }: { scope: SpendingScope; onDone: () => void }) =>
      call('/guard/resume-spending', { method: 'POST', body: scope, schema: ResumedAnswer }),
    onSuccess: (answer, { onDone }) => {
      onDone();
      toast.dismiss(STOPPED_TOAST);
      if (answer.still_stopped.length > 0) toast(t('stop.still_stopped'));
      void queries.invalidateQueries({ queryKey: ['guard'] });
    },
    onError: () => toast.error(t('stop.resume_failed')),
  });
  return {
    stop: stop.mutate,
    resume: (scope, onDone) => resume.mutate({ scope, onDone }),
    isBusy: stop.isPending || resume.isPending,
  };
}
