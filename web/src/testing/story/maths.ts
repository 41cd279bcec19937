/** The exchange's formulas for isolated longs, enough for the fixture story. The product's own maths live on the server. */
const S = 100_000_000;
const FEE = 0.001;

const half = (value: number): number => Math.round(value * 2) / 2;

/** Contracts of 1 USD that a margin carries at a leverage. */
export function quantityUsd(marginSats: number, price: number, leverage: number): number {
  return Math.floor((marginSats * leverage * price) / S);
}

/** Price at which a long has lost its margin, nearest half-dollar. */
export function liquidationPrice(quantity: number, entry: number, marginSats: number): number {
  return half(1 / (1 / entry + marginSats / S / quantity));
}

/** Profit or loss of a long in sats, nearest. */
export function pnlSats(quantity: number, entry: number, exit: number): number {
  return Math.round(quantity * S * (1 / entry - 1 / exit));
}

export function feeSats(quantity: number, price: number): number {
  return Math.floor((S * FEE * quantity) / price);
}

/** Room: distance to liquidation as a share of the price. */
export function room(price: number, liquidation: number): number {
  return (price - liquidation) / price;
}

/** The price at which the room has fallen to `distance`, the tick that fires sooner for a long. */
export function priceAtRoom(liquidation: number, distance: number): number {
  return Math.ceil((liquidation / (1 - distance)) * 2) / 2;
}

/** Sats to add at `price` so that the room is `distance` again. */
export function topUpSats(quantity: number, entry: number, margin: number, price: number, distance: number): number {
  const liquidation = Math.floor(price * (1 - distance) * 2) / 2;
  return Math.max(0, Math.ceil(S * quantity * (1 / liquidation - 1 / entry)) - margin);
}
