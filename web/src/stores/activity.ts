import { create } from 'zustand';
import type { Activity } from '@/api/schema';

interface ActivityState {
  items: Activity[];
  status: 'loading' | 'ready' | 'failed';
  fill: (items: readonly Activity[]) => void;
  accept: (item: Activity) => void;
  fail: () => void;
  reset: () => void;
}

/** Newest first, each entry once. */
export function mergeActivity(a: readonly Activity[], b: readonly Activity[]): Activity[] {
  const byId = new Map([...a, ...b].map((item) => [item.activity_id, item]));
  return [...byId.values()].sort((x, y) => Date.parse(y.at) - Date.parse(x.at) || y.activity_id.localeCompare(x.activity_id));
}

export const useActivity = create<ActivityState>((set) => ({
  items: [],
  status: 'loading',
  fill: (items) => set((state) => ({ items: mergeActivity(state.items, items), status: 'ready' })),
  accept: (item) => set((state) => ({ items: mergeActivity(state.items, [item]), status: 'ready' })),
  fail: () => set((state) => ({ status: state.items.length > 0 ? 'ready' : 'failed' })),
  reset: () => set({ items: [], status: 'loading' }),
}));
