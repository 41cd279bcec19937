import { create } from 'zustand';
import type { Demo } from '@/api/schema';
import { monotonicNow } from '@/lib/clock';

interface DemoState {
  demo: Demo | null;
  receivedAt: number;
  accept: (demo: Demo) => void;
}

export const useDemo = create<DemoState>((set) => ({
  demo: null,
  receivedAt: 0,
  accept: (demo) => set({ demo, receivedAt: monotonicNow() }),
}));
