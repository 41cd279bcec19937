/** The rule being edited: whose it is, the edits and their undo, and what the server says it would do. */
import { create } from 'zustand';
import { RuleBody, type LadderPreview, type RuleDocument, type RuleView } from '@/api/schema';

export type RuleScope =
  | { kind: 'trade'; accountId: string; tradeId: string }
  | { kind: 'cross'; accountId: string }
  | { kind: 'account'; accountId: string }
  | { kind: 'user' };

export type Edit = (body: RuleBody) => RuleBody;
export type Gesture = 'begin' | 'go_on';

export interface Draft {
  /** As stored for this scope, or what it inherits, to know whether anything differs; null while it is read. */
  stored: RuleBody | null;
  body: RuleBody | null;
  version: number;
  /** Earlier bodies, the latest last, for undo. */
  past: RuleBody[];
  preview: LadderPreview | null;
  /** Where a line is being dragged to, until the preview says its exact price. */
  drag: { mark: string; price: number } | null;
  /** Edits made before the rule was read. */
  waiting: Edit[];
}

interface DraftState {
  scope: RuleScope | null;
  draft: Draft;
  open: (scope: RuleScope) => void;
  close: () => void;
  /** Takes what the server has for this scope: the first time to start from, later only its version. */
  accept: (view: RuleView, fallback: RuleBody) => void;
  /** Starts again from the newest version, with the edits kept on top. */
  rebase: (view: RuleView) => void;
  /** Changes the draft; the parts of one gesture share one step of undo. */
  edit: (change: Edit, gesture?: Gesture, drag?: Draft['drag']) => void;
  undo: () => void;
  acceptPreview: (preview: LadderPreview) => void;
}

const EMPTY: Draft = { stored: null, body: null, version: 0, past: [], preview: null, drag: null, waiting: [] };

/** The address of a scope's rule in the API. */
export function rulePath(scope: RuleScope): string {
  if (scope.kind === 'user') return '/guard/rule';
  const account = `/accounts/${scope.accountId}`;
  if (scope.kind === 'account') return `${account}/guard/rule`;
  if (scope.kind === 'cross') return `${account}/cross/guard/rule`;
  return `${account}/trades/${scope.tradeId}/guard/rule`;
}

export function isSameScope(a: RuleScope | null, b: RuleScope | null): boolean {
  return a !== null && b !== null && rulePath(a) === rulePath(b);
}

/** The part of a stored rule that can be changed. */
export function bodyOf(document: RuleDocument): RuleBody {
  return RuleBody.parse(document);
}

/** What there is to start from: its own rule, else what holds, else what it would inherit. */
function startOf(view: RuleView): RuleBody | null {
  const document = view.own ?? view.effective ?? view.inherited ?? null;
  return document === null ? null : bodyOf(document);
}

export const useDraft = create<DraftState>((set) => ({
  scope: null,
  draft: EMPTY,
  open: (scope) => set((state) => (isSameScope(state.scope, scope) ? {} : { scope, draft: EMPTY })),
  close: () => set({ scope: null, draft: EMPTY }),
  accept: (view, fallback) =>
    set(({ draft }) => {
      if (draft.body !== null) return {};
      const stored = startOf(view) ?? fallback;
      const body = draft.waiting.reduce((before, change) => change(before), stored);
      const past = draft.waiting.length > 0 ? [stored] : [];
      return { draft: { ...draft, stored, body, past, version: view.own?.version ?? 0, waiting: [] } };
    }),
  rebase: (view) =>
    set(({ draft }) => ({ draft: { ...draft, stored: startOf(view) ?? draft.stored, version: view.own?.version ?? 0 } })),
  edit: (change, gesture, drag = null) =>
    set(({ draft }) => {
      if (draft.body === null) return { draft: { ...draft, drag, waiting: [...draft.waiting, change] } };
      const past = gesture === 'go_on' ? draft.past : [...draft.past, draft.body];
      return { draft: { ...draft, past, drag, body: change(draft.body) } };
    }),
  undo: () =>
    set(({ draft }) => {
      const body = draft.past.at(-1);
      return body ? { draft: { ...draft, body, past: draft.past.slice(0, -1), drag: null } } : {};
    }),
  acceptPreview: (preview) => set(({ draft }) => ({ draft: { ...draft, preview } })),
}));

/** Whether the draft differs from what is stored. */
export function isDirty(draft: Draft): boolean {
  return draft.body !== null && JSON.stringify(draft.body) !== JSON.stringify(draft.stored);
}
