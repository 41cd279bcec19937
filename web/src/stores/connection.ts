import { create } from 'zustand';
import type { StreamStatus } from '@/lib/socket';

interface ConnectionState {
  status: StreamStatus;
  /** Page clock of the last frame, ms; null before the first. */
  lastFrameAt: number | null;
}

export const useConnection = create<ConnectionState>(() => ({ status: { kind: 'connecting' }, lastFrameAt: null }));
