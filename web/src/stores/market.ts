import { create } from 'zustand';
import type { Price } from '@/api/schema';
import { monotonicNow } from '@/lib/clock';

interface MarketState {
  price: Price | null;
  /** Page clock when the price arrived, ms. */
  receivedAt: number;
  direction: 'up' | 'down' | null;
  accept: (price: Price) => void;
}

export const useMarket = create<MarketState>((set, get) => ({
  price: null,
  receivedAt: 0,
  direction: null,
  accept: (price) => {
    const before = get().price?.last_price;
    const direction =
      before === undefined || before === price.last_price
        ? get().direction
        : price.last_price > before
          ? ('up' as const)
          : ('down' as const);
    set({ price, receivedAt: monotonicNow(), direction });
  },
}));
