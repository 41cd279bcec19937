import { create } from 'zustand';
import type { User } from '@/api/schema';

export type SessionStatus = 'starting' | 'signed_in' | 'signed_out' | 'unreachable';

interface SessionState {
  status: SessionStatus;
  user: User | null;
  /** Why the last sign-in did not work, as a code of the API. */
  refusal: string | null;
}

export const useSession = create<SessionState>(() => ({ status: 'starting', user: null, refusal: null }));
