/** Calls to the API: bearer token, deadline, typed answers and typed failures. */
import type { z } from 'zod';
import { Problem, Session, StreamTicket, type User } from './schema';

const DEADLINE_MS = 10_000;
const BASE = '/api/v1';

/** The API answered, and said no. */
export class ApiProblem extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.detail ?? problem.title);
    this.problem = problem;
  }
  get code(): string {
    return this.problem.code;
  }
  get status(): number {
    return this.problem.status;
  }
}
/** No answer: for a command this means that its outcome is unknown. */
export class NoAnswer extends Error {}
/** An answer whose shape is not the agreed one. */
export class UnexpectedAnswer extends Error {}
/** Nobody is signed in, or no longer. */
export class SignedOut extends Error {}

let accessToken: string | null = null;
let refreshing: Promise<Session> | null = null;
let onSession: (user: User | null) => void = () => undefined;

/** Tells who signed in or out; one listener, the session store. */
export function listenToSession(listener: (user: User | null) => void): void {
  onSession = listener;
}

export interface CallOptions<S extends z.ZodType> {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  body?: unknown;
  schema: S;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

async function raw(path: string, init: RequestInit, signal?: AbortSignal): Promise<Response> {
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  try {
    return await fetch(`${BASE}${path}`, {
      ...init,
      credentials: 'same-origin',
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new NoAnswer(path, { cause: error });
  }
}

async function read<S extends z.ZodType>(response: Response, schema: S): Promise<z.infer<S>> {
  let json: unknown;
  try {
    json = await response.json();
  } catch (error) {
    throw new UnexpectedAnswer(`${response.status} without JSON`, { cause: error });
  }
  if (!response.ok) {
    const problem = Problem.safeParse(json);
    if (!problem.success) throw new UnexpectedAnswer(`${response.status} without a problem body`);
    throw new ApiProblem(problem.data);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new UnexpectedAnswer(parsed.error.message);
  return parsed.data;
}

function take(session: Session): Session {
  accessToken = session.access_token;
  onSession(session.user);
  return session;
}

function request(method: string, body: unknown, headers: Record<string, string> = {}): RequestInit {
  return {
    method,
    headers: {
      Accept: 'application/json',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(accessToken ? { Authorization: `Bearer ${accessToken}` } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  };
}

/** Calls the API; an expired token is renewed once and the refused call, which had no effect, is repeated. */
export async function call<S extends z.ZodType>(path: string, options: CallOptions<S>): Promise<z.infer<S>> {
  const { method = 'GET', body, schema, signal, headers } = options;
  let response = await raw(path, request(method, body, headers), signal);
  if (response.status === 401) {
    await refreshSession();
    response = await raw(path, request(method, body, headers), signal);
  }
  return read(response, schema);
}

/** Renews the session by its cookie; callers at the same time share one request. */
export function refreshSession(): Promise<Session> {
  refreshing ??= (async () => {
    try {
      return take(await read(await raw('/auth/refresh', { method: 'POST' }), Session));
    } catch (error) {
      if (error instanceof ApiProblem && (error.status === 401 || error.status === 403)) {
        accessToken = null;
        onSession(null);
        throw new SignedOut();
      }
      throw error;
    } finally {
      refreshing = null;
    }
  })();
  return refreshing;
}

export async function startWithToken(token: string): Promise<Session> {
  return take(await read(await raw('/auth/start', request('POST', { token })), Session));
}

export async function signIn(email: string, password: string): Promise<Session> {
  return take(await read(await raw('/auth/login', request('POST', { email, password })), Session));
}

export async function signOut(): Promise<void> {
  await raw('/auth/logout', request('POST', undefined));
  accessToken = null;
  onSession(null);
}

export async function streamTicket(): Promise<string> {
  return (await call('/stream/ticket', { method: 'POST', schema: StreamTicket })).ticket;
}
