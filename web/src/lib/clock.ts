import { useSyncExternalStore } from 'react';

/** A shared one-second beat, so that ages on the page grow together and idle pages hold one timer. */
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | null = null;
let beat = performance.now();
let wallBeat = Date.now();

function read(): void {
  beat = performance.now();
  wallBeat = Date.now();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === null) {
    read();
    timer = setInterval(() => {
      read();
      for (const each of listeners) each();
    }, 1000);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0 && timer !== null) {
      clearInterval(timer);
      timer = null;
    }
  };
}

/** Milliseconds of the page's monotonic clock, renewed every second. */
export function useBeat(): number {
  return useSyncExternalStore(subscribe, () => beat);
}

/** Milliseconds since the epoch by this device's clock, renewed every second. */
export function useWallBeat(): number {
  return useSyncExternalStore(subscribe, () => wallBeat);
}

/** Milliseconds of the page's monotonic clock, now. */
export function monotonicNow(): number {
  return performance.now();
}
