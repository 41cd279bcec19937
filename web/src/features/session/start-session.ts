/** How a session begins: by the start link, whose token leaves the address at once, or by the cookie. */
import { NoAnswer, SignedOut, ApiProblem, listenToSession, refreshSession, startWithToken } from '@/api/client';
import { useSession } from '@/stores/session';

/** Takes the token out of the address; nothing of it stays in the history. */
export function takeStartToken(target: Pick<Window, 'location' | 'history'>): string | null {
  const match = /^#start=([\w.~-]+)$/.exec(target.location.hash);
  if (target.location.hash.startsWith('#start=')) {
    target.history.replaceState(null, '', target.location.pathname + target.location.search);
  }
  return match?.[1] ?? null;
}

export async function startSession(): Promise<void> {
  listenToSession((user) => useSession.setState({ user, status: user ? 'signed_in' : 'signed_out' }));
  useSession.setState({ status: 'starting' });
  const token = takeStartToken(window);
  if (token !== null) {
    try {
      await startWithToken(token);
      return;
    } catch (error) {
      if (error instanceof NoAnswer) {
        useSession.setState({ status: 'unreachable' });
        return;
      }
      useSession.setState({ refusal: error instanceof ApiProblem ? error.code : 'unknown' });
    }
  }
  try {
    await refreshSession();
    useSession.setState({ refusal: null });
  } catch (error) {
    useSession.setState({ status: error instanceof SignedOut ? 'signed_out' : 'unreachable' });
  }
}
