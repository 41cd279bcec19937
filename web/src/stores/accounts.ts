import { create } from 'zustand';
import type { Account, Watch } from '@/api/schema';
import { monotonicNow } from '@/lib/clock';

interface AccountState {
  items: Account[] | null;
  failed: boolean;
  watches: Record<string, Watch>;
  /** Page clock of the last guard status, ms. */
  watchedAt: number | null;
  fill: (items: Account[]) => void;
  accept: (account: Account) => void;
  acceptWatches: (watches: Record<string, Watch>) => void;
  fail: () => void;
}

export const useAccounts = create<AccountState>((set) => ({
  items: null,
  failed: false,
  watches: {},
  watchedAt: null,
  fill: (items) =>
    set({
      items,
      failed: false,
      watches: Object.fromEntries(items.map((item) => [item.exchange_account_id, item.watch])),
      watchedAt: monotonicNow(),
    }),
  accept: (account) =>
    set((state) => ({
      items: [
        ...(state.items ?? []).filter((each) => each.exchange_account_id !== account.exchange_account_id),
        account,
      ].sort((a, b) => a.exchange_account_id.localeCompare(b.exchange_account_id)),
    })),
  acceptWatches: (watches) => set({ watches, watchedAt: monotonicNow() }),
  fail: () => set({ failed: true }),
}));
