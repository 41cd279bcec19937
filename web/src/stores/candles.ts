import { create } from 'zustand';
import type { Candle } from '@/api/schema';

const LONGEST = 3_000;

interface CandleState {
  items: Candle[];
  status: 'loading' | 'ready' | 'failed';
  /** Takes a page of history; bars already streamed stay. */
  fill: (items: readonly Candle[]) => void;
  accept: (bar: Candle) => void;
  fail: () => void;
  /** Forgets every bar, and takes none from before `from` (ms since the epoch) later. */
  reset: (from?: number) => void;
  from: number;
}

/** Merges bars by time, the later writer wins, oldest first, at most LONGEST. */
export function mergeCandles(older: readonly Candle[], newer: readonly Candle[]): Candle[] {
  const byTime = new Map<string, Candle>();
  for (const bar of older) byTime.set(bar.at, bar);
  for (const bar of newer) byTime.set(bar.at, bar);
  return [...byTime.values()].sort((a, b) => Date.parse(a.at) - Date.parse(b.at)).slice(-LONGEST);
}

export const useCandles = create<CandleState>((set, get) => ({
  items: [],
  from: 0,
  status: 'loading',
  fill: (items) => {
    const { from, items: streamed } = get();
    set({ items: mergeCandles(items.filter((bar) => Date.parse(bar.at) >= from), streamed), status: 'ready' });
  },
  accept: (bar) => {
    const { items } = get();
    const last = items.at(-1);
    if (last?.at === bar.at) set({ items: [...items.slice(0, -1), bar] });
    else if (!last || last.at < bar.at) set({ items: [...items, bar].slice(-LONGEST) });
    else set({ items: mergeCandles(items, [bar]) });
  },
  fail: () => set((state) => ({ status: state.items.length > 0 ? 'ready' : 'failed' })),
  reset: (from = 0) => set({ items: [], from, status: 'loading' }),
}));
