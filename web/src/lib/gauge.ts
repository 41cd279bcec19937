/** Geometry of the gauge of distance: liquidation at the left end, always, for longs and for shorts. */

export interface GaugeScale {
  /** Share of the width, 0 = liquidation, 1 = right end; values outside are clamped. */
  at: (price: number) => number;
  entry: number;
}

/** How much of the picture lies beyond the entry, as a share of the distance from liquidation to entry. */
const BEYOND = 0.3;

/**
 * Return the scale of one position's gauge.
 *
 * The right end lies 30 % beyond the entry, or a little beyond the price where that is farther out.
 */
export function gaugeScale(options: { liquidation: number; entry: number; price?: number | null }): GaugeScale {
  const { liquidation, entry, price } = options;
  const toEntry = entry - liquidation;
  let span = toEntry * (1 + BEYOND);
  if (price !== null && price !== undefined && (price - liquidation) / span > 0.97) {
    span = ((price - liquidation) / 0.97) * 1;
  }
  const at = (value: number): number => {
    if (span === 0) return 0;
    return Math.min(1, Math.max(0, (value - liquidation) / span));
  };
  return { at, entry: at(entry) };
}
