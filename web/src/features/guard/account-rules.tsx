import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { toast } from 'sonner';
import { call } from '@/api/client';
import { NewTrades, RuleView, type Account, type Preset } from '@/api/schema';
import { Button } from '@/components/ui/button';
import { Skeleton } from '@/components/ui/skeleton';
import { Select } from '@/components/ui/select';
import { useDraft } from '@/stores/draft';

const CHOICES: readonly Preset[] = ['watch', 'hold', 'hold_longer', 'cut'];

/** What a trade opened later gets by itself, and the account's own rule. */
export function AccountRules({ account }: { account: Account }): ReactNode {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const open = useDraft((state) => state.open);
  const { exchange_account_id: id } = account;
  const queryKey = ['guard', 'rule', `/accounts/${id}/guard/rule`];
  const query = useQuery({ queryKey, queryFn: ({ signal }) => call(`/accounts/${id}/guard/rule`, { schema: RuleView, signal }) });
  const choose = useMutation({
    mutationFn: (preset: Preset) =>
      call(`/accounts/${id}/guard/new-trades`, { method: 'PUT', body: { preset, version: query.data?.new_trades?.version ?? 0 }, schema: NewTrades }),
    onSuccess: () => {
      toast(t('new_trades.saved'));
      void queries.invalidateQueries({ queryKey: ['guard'] });
    },
    onError: () => {
      toast.error(t('new_trades.failed'));
      void queries.invalidateQueries({ queryKey });
    },
  });
  const chosen = query.data?.new_trades;
  return (
    <div className="flex flex-wrap items-center gap-x-4 gap-y-2 rounded-lg border border-line bg-card px-3 py-2.5 text-sm">
      {query.isPending && <Skeleton className="h-5 w-64" />}
      {query.isError && <p className="text-caution">{t('new_trades.unreadable')}</p>}
      {chosen && (
        <label className="flex flex-wrap items-center gap-2">
          {t('new_trades.label')}
          <Select
            label={t('new_trades.label')}
            value={chosen.is_chosen ? chosen.preset : 'none'}
            disabled={choose.isPending}
            onChange={(value) => value !== 'none' && choose.mutate(value as Preset)}
            options={[
              ...(chosen.is_chosen ? [] : [{ value: 'none', label: t('new_trades.not_chosen') }]),
              ...[...CHOICES, ...(chosen.preset === 'custom' ? (['custom'] as const) : [])].map((value) => ({ value, label: t(`words.preset.${value}`) })),
            ]}
          />
        </label>
      )}
      {chosen && <span className="min-w-0 flex-1 basis-56 text-xs text-muted">{t(chosen.is_chosen ? `new_trades.about.${chosen.preset}` : 'new_trades.about.none')}</span>}
      <Button variant="outline" size="xs" onClick={() => open({ kind: 'account', accountId: id })}>
        {t('guard.account_rule')}
      </Button>
    </div>
  );
}
