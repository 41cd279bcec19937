import { create } from 'zustand';
import type { Trade } from '@/api/schema';
import { monotonicNow } from '@/lib/clock';

interface TradeState {
  byAccount: Record<string, { items: Trade[]; receivedAt: number }>;
  failed: boolean;
  accept: (accountId: string, items: Trade[]) => void;
  fail: () => void;
  reset: () => void;
}

export const useTrades = create<TradeState>((set) => ({
  byAccount: {},
  failed: false,
  accept: (accountId, items) =>
    set((state) => ({
      failed: false,
      byAccount: { ...state.byAccount, [accountId]: { items, receivedAt: monotonicNow() } },
    })),
  fail: () => set({ failed: true }),
  reset: () => set({ byAccount: {}, failed: false }),
}));

/** Selects one trade, or null while unknown. */
export function selectTrade(accountId: string | null, tradeId: string | null): (state: TradeState) => Trade | null {
  return (state) =>
    (accountId !== null && tradeId !== null
      ? state.byAccount[accountId]?.items.find((trade) => trade.trade_id === tradeId)
      : undefined) ?? null;
}
