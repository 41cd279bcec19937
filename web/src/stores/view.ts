/** What the reader looks at: chosen trade, open drawers, the rule being edited. No server data. */
import { create } from 'zustand';
import type { Preview, RuleChange } from '@/api/schema';

export interface RuleDraft {
  accountId: string;
  tradeId: string;
  change: RuleChange;
  /** Earlier drafts, the latest last, for undo. */
  past: RuleChange[];
  /** As stored, to know whether anything differs. */
  stored: RuleChange;
  preview: Preview | null;
  /** Where the mark is being dragged to, until the preview says its exact price. */
  dragPrice: number | null;
}

interface ViewState {
  accountId: string | null;
  chosenTradeId: string | null;
  /** On narrow screens one column at a time. */
  column: 'guarded' | 'unguarded';
  isRailOpen: boolean;
  decision: { accountId: string; decisionId: string } | null;
  draft: RuleDraft | null;
  isSummaryHidden: boolean;
  selectAccount: (accountId: string, column: 'guarded' | 'unguarded') => void;
  choose: (tradeId: string) => void;
  showColumn: (column: 'guarded' | 'unguarded') => void;
  toggleRail: () => void;
  openDecision: (accountId: string, decisionId: string) => void;
  closeDecision: () => void;
  openRule: (accountId: string, tradeId: string, stored: RuleChange) => void;
  closeRule: () => void;
  /** Changes the draft; steps of one gesture (a drag) share one undo step through `gesture`. */
  editRule: (patch: Partial<RuleChange>, gesture?: 'begin' | 'go_on', dragPrice?: number | null) => void;
  undoRule: () => void;
  /** After a save by someone else: the newest stored rule, the reader's edits kept on top. */
  rebaseRule: (stored: RuleChange) => void;
  acceptPreview: (tradeId: string, preview: Preview) => void;
  hideSummary: (hidden: boolean) => void;
}

const RAIL = 'axisor.rail';

export const useView = create<ViewState>((set) => ({
  accountId: null,
  chosenTradeId: null,
  column: 'guarded',
  isRailOpen: localStorage.getItem(RAIL) === 'open',
  decision: null,
  draft: null,
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
  openRule: (accountId, tradeId, stored) =>
    set({ chosenTradeId: tradeId, draft: { accountId, tradeId, change: stored, stored, past: [], preview: null, dragPrice: null } }),
  closeRule: () => set({ draft: null }),
  editRule: (patch, gesture, dragPrice = null) =>
    set(({ draft }) => {
      if (draft === null) return {};
      const past = gesture === 'go_on' ? draft.past : [...draft.past, draft.change];
      return { draft: { ...draft, past, dragPrice, change: { ...draft.change, ...patch } } };
    }),
  undoRule: () =>
    set(({ draft }) => {
      const change = draft?.past.at(-1);
      if (!draft || !change) return {};
      return { draft: { ...draft, change: { ...change, version: draft.change.version }, past: draft.past.slice(0, -1) } };
    }),
  rebaseRule: (stored) =>
    set(({ draft }) =>
      draft === null ? {} : { draft: { ...draft, stored, change: { ...draft.change, version: stored.version } } },
    ),
  acceptPreview: (tradeId, preview) =>
    set(({ draft }) => (draft?.tradeId === tradeId ? { draft: { ...draft, preview } } : {})),
  hideSummary: (hidden) => set({ isSummaryHidden: hidden }),
}));

/** Whether the draft differs from what is stored. */
export function isDirty(draft: RuleDraft): boolean {
  return JSON.stringify(draft.change) !== JSON.stringify(draft.stored);
}
