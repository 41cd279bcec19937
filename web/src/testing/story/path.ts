/** The fixture's market: five points a second of one crash, the same at every start. */

const CRASH: readonly (readonly [number, number])[] = [
  [0, 62_000],
  [6, 62_020],
  [10, 61_950],
  [14, 61_720],
  [18, 61_480],
  [22, 61_260],
  [27, 61_020],
  [31, 60_900],
  [35, 60_770],
  [38, 60_420],
  [40, 60_510],
  [45, 59_780],
  [48, 59_660],
  [50, 59_606],
  [53, 59_640],
  [58, 59_900],
  [64, 60_300],
  [72, 60_820],
  [80, 61_240],
  [90, 61_500],
];
const BLEED: readonly (readonly [number, number])[] = [
  [0, 62_000],
  [20, 61_300],
  [40, 60_500],
  [60, 59_300],
  [80, 58_600],
  [90, 58_300],
];
export const STORY_S = 90;
const LOWEST = { crash: 59_600.5, bleed: 58_000 };

/** Deterministic noise in −1..1 for step `n`. */
function noise(n: number): number {
  const x = Math.sin(n * 12.9898 + 78.233) * 43_758.5453;
  return (x - Math.floor(x)) * 2 - 1;
}

/** Last price at `seconds` of the story; negative times are the calm before it. */
export function priceAt(seconds: number, scenario: 'crash' | 'bleed' = 'crash'): number {
  const step = Math.round(seconds * 5);
  if (seconds <= 0) return Math.round((62_000 + noise(step) * 9 + Math.sin(step / 21) * 14) * 2) / 2;
  const points = scenario === 'crash' ? CRASH : BLEED;
  const t = Math.min(seconds, STORY_S);
  let [fromT, from] = points[0] ?? [0, 62_000];
  for (const [toT, to] of points) {
    if (t <= toT) {
      const share = toT === fromT ? 1 : (t - fromT) / (toT - fromT);
      const calm = t > 47 && t < 54 ? 4 : 16;
      const raw = from + (to - from) * share + noise(step) * calm;
      return Math.max(LOWEST[scenario], Math.round(raw * 2) / 2);
    }
    [fromT, from] = [toT, to];
  }
  return from;
}
