/** The one conversion the page makes by itself: where the reader drags the mark, as a share of full room. */

/** Return the share of full room at `price`, clamped to 1..99 % and rounded to whole percents. */
export function shareAtPrice(options: { price: number; liquidation: number; fullRoom: number }): number {
  const room = Math.abs(options.price - options.liquidation) / options.price;
  const share = Math.round((room / options.fullRoom) * 100) / 100;
  return Math.min(0.99, Math.max(0.01, share));
}
