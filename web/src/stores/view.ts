/** What the reader looks at: chosen trade and open drawers. No server data. */
import { create } from 'zustand';

interface ViewState {
  accountId: string | null;
  chosenTradeId: string | null;
  /** On narrow screens one column at a time. */
  column: 'guarded' | 'unguarded';
  isRailOpen: boolean;
  decision: { accountId: string; decisionId: string } | null;
  isSummaryHidden: boolean;
  selectAccount: (accountId: string, column: 'guarded' | 'unguarded') => void;
  choose: (tradeId: string) => void;
  showColumn: (column: 'guarded' | 'unguarded') => void;
  toggleRail: () => void;
  openDecision: (accountId: string, decisionId: string) => void;
  closeDecision: () => void;
  hideSummary: (hidden: boolean) => void;
}

const RAIL = 'axisor.rail';

export const useView = create<ViewState>((set) => ({
  accountId: null,
  chosenTradeId: null,
  column: 'guarded',
  isRailOpen: localStorage.getItem(RAIL) === 'open',
  decision: null,
  isSummaryHidden: false,
  selectAccount: (accountId, column) => set({ accountId, column }),
  choose: (tradeId) => set({ chosenTradeId: tradeId }),
  showColumn: (column) => set({ column }),
  toggleRail: () =>
    set((state) => {
      localStorage.setItem(RAIL, state.isRailOpen ? 'closed' : 'open');
      return { isRailOpen: !state.isRailOpen };
    }),
  openDecision: (accountId, decisionId) => set({ decision: { accountId, decisionId } }),
  closeDecision: () => set({ decision: null }),
  hideSummary: (hidden) => set({ isSummaryHidden: hidden }),
}));
