/** A command on a trade: asked once under one key, followed until it is settled, its outcome told as it is. */
import { useCallback, useRef, useState } from 'react';
import { useQuery } from '@tanstack/react-query';
import { ApiProblem, NoAnswer, call } from '@/api/client';
import { Request } from '@/api/schema';

export type CommandState =
  | { kind: 'idle' }
  | { kind: 'asking' }
  | { kind: 'no_answer' }
  | { kind: 'refused'; detail: string }
  | { kind: 'following'; request: Request; isReadable: boolean };

const SETTLED = new Set(['confirmed', 'refused', 'not_applied', 'expired']);
const POLL_MS = 700;

export interface Command {
  state: CommandState;
  isBusy: boolean;
  /** Asks; asking again after no answer repeats the same key, so that it can never act twice. */
  ask: () => void;
}

/** `follow: false` leaves following the request to the caller, for what has a state of its own. */
export function useCommand(path: string, body: unknown, { follow = true }: { follow?: boolean } = {}): Command {
  const key = useRef<string>(crypto.randomUUID());
  const [state, setState] = useState<CommandState>({ kind: 'idle' });
  const requestId = state.kind === 'following' ? state.request.request_id : null;
  const followed = useQuery({
    queryKey: ['requests', requestId],
    enabled: follow && requestId !== null,
    queryFn: ({ signal }) => call(`/requests/${requestId ?? ''}`, { schema: Request, signal }),
    refetchInterval: (query) => (query.state.data && SETTLED.has(query.state.data.status) ? false : POLL_MS),
    retry: false,
  });
  const ask = useCallback(() => {
    setState({ kind: 'asking' });
    call(path, { method: 'POST', body, schema: Request, headers: { 'Idempotency-Key': key.current } }).then(
      (request) => setState({ kind: 'following', request, isReadable: true }),
      (error: unknown) => {
        if (error instanceof NoAnswer) setState({ kind: 'no_answer' });
        else {
          // Refused for good: another try is another command.
          key.current = crypto.randomUUID();
          setState({ kind: 'refused', detail: error instanceof ApiProblem ? error.message : String(error) });
        }
      },
    );
  }, [path, body]);
  const present: CommandState =
    state.kind === 'following'
      ? { kind: 'following', request: followed.data ?? state.request, isReadable: !followed.isError }
      : state;
  const isBusy =
    present.kind === 'asking' || (present.kind === 'following' && !SETTLED.has(present.request.status));
  return { state: present, isBusy, ask };
}
