/** The path of a preview up to one price: what has happened by then. Nothing is computed, only cut. Pure. */
import type { LadderEvent, Trade } from '@/api/schema';

export interface PathSpan {
  /** Slider values: liquidation lies left for longs and for shorts. */
  min: number;
  max: number;
}

/** Prices of a long rise with the value, those of a short fall, so that left is always nearer to liquidation. */
export function valueAt(side: Trade['side'], price: number): number {
  return side === 'long' ? price : -price;
}

export function priceAtValue(value: number): number {
  return Math.abs(value);
}

/** From the last thing that happens on the path, or liquidation, to the present price. */
export function spanOf(trade: Trade, events: readonly LadderEvent[], price: number): PathSpan {
  const far = [trade.liquidation_price, ...events.map((event) => event.price)].map((each) => valueAt(trade.side, each));
  const present = valueAt(trade.side, price);
  return { min: Math.min(present - 0.5, ...far), max: present };
}

/** What has happened once the price stands at `price`, in the order of the path. */
export function eventsUpTo(trade: Trade, events: readonly LadderEvent[], price: number): LadderEvent[] {
  return events.filter((event) => valueAt(trade.side, event.price) >= valueAt(trade.side, price));
}
