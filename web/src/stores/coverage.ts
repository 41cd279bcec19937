import { create } from 'zustand';
import type { Coverage, CoverageOverview } from '@/api/schema';
import { monotonicNow } from '@/lib/clock';

interface CoverageStore {
  overview: CoverageOverview | null;
  /** Page clock when it arrived, ms. */
  receivedAt: number;
  failed: boolean;
  accept: (overview: CoverageOverview) => void;
  fail: () => void;
}

export const useCoverage = create<CoverageStore>((set) => ({
  overview: null,
  receivedAt: 0,
  failed: false,
  accept: (overview) => set({ overview, receivedAt: monotonicNow(), failed: false }),
  fail: () => set({ failed: true }),
}));

/** Selects what is known of one trade's coverage, or null. */
export function selectCoverage(accountId: string, tradeId: string): (state: CoverageStore) => Coverage | null {
  return ({ overview }) =>
    overview?.accounts
      .find((account) => account.exchange_account_id === accountId)
      ?.trades.find((trade) => trade.trade_id === tradeId)?.coverage ?? null;
}
