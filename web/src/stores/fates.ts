/** The result of each trade over time, sampled from the trades stream, for the picture of the two fates. */
import { create } from 'zustand';
import type { Trade } from '@/api/schema';

export interface FateSample {
  /** Milliseconds since the epoch, the server's time of the frame. */
  at: number;
  result_sats: number;
}

const KEY = 'axisor.fates';
const LONGEST = 4_000;
const KEEP_EVERY_MS = 3_000;

interface FateState {
  /** Which run of the demo the samples belong to. */
  run: string;
  byTrade: Record<string, FateSample[]>;
  startRun: (run: string) => void;
  sample: (trades: readonly Trade[], at: number) => void;
}

let keptAt = 0;

function load(run: string): Record<string, FateSample[]> {
  const raw = sessionStorage.getItem(KEY);
  if (raw === null) return {};
  const kept = JSON.parse(raw) as { run: string; byTrade: Record<string, FateSample[]> };
  return kept.run === run ? kept.byTrade : {};
}

/** Adds one sample; a dead trade's line ends with the sample at which it closed. */
export function withSample(samples: readonly FateSample[], trade: Trade, at: number): readonly FateSample[] {
  if (trade.result_sats === null) return samples;
  const closedAt = trade.closed_at === null ? null : Date.parse(trade.closed_at);
  const time = closedAt ?? at;
  const last = samples.at(-1);
  if (last && time <= last.at) {
    if (closedAt === null || last.result_sats === trade.result_sats) return samples;
    return [...samples.filter((each) => each.at < time), { at: time, result_sats: trade.result_sats }];
  }
  return [...samples, { at: time, result_sats: trade.result_sats }].slice(-LONGEST);
}

export const useFates = create<FateState>((set, get) => ({
  run: '',
  byTrade: {},
  startRun: (run) => {
    if (get().run === run) return;
    set({ run, byTrade: load(run) });
  },
  sample: (trades, at) => {
    const { byTrade, run } = get();
    const next = { ...byTrade };
    let changed = false;
    for (const trade of trades) {
      const before = byTrade[trade.trade_id] ?? [];
      const after = withSample(before, trade, at);
      if (after === before) continue;
      next[trade.trade_id] = [...after];
      changed = true;
    }
    if (!changed) return;
    set({ byTrade: next });
    if (at - keptAt > KEEP_EVERY_MS) {
      keptAt = at;
      sessionStorage.setItem(KEY, JSON.stringify({ run, byTrade: next }));
    }
  },
}));
