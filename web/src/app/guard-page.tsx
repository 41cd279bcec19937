import type { ReactNode } from 'react';
import { GuardOverview } from '@/features/guard/guard-overview';
import { useAccounts } from '@/stores/accounts';
import { useCoverage } from '@/stores/coverage';
import { useTrades } from '@/stores/trades';
import { loadCoverage } from './stream';
import { arrange } from './use-chosen';

export function GuardPage(): ReactNode {
  const overview = useCoverage((state) => state.overview);
  const receivedAt = useCoverage((state) => state.receivedAt);
  const hasFailed = useCoverage((state) => state.failed);
  const items = useAccounts((state) => state.items);
  const byAccount = useTrades((state) => state.byAccount);
  const accounts =
    items?.map((account) => ({ account, trades: arrange(byAccount[account.exchange_account_id]?.items) ?? [] })) ?? null;
  return <GuardOverview overview={overview} receivedAt={receivedAt} hasFailed={hasFailed} accounts={accounts} onRetry={() => void loadCoverage()} />;
}
