/** Answers the app's requests from a list of routes, and records what was asked. */
import { vi } from 'vitest';

export interface Asked {
  method: string;
  path: string;
  body: unknown;
  headers: Record<string, string>;
}

export type Route = (asked: Asked) => { status?: number; body: unknown };

export function serve(routes: Record<string, Route>): Asked[] {
  const asked: Asked[] = [];
  vi.stubGlobal('fetch', (url: string, init: RequestInit = {}) => {
    const path = url.replace('/api/v1', '');
    const method = init.method ?? 'GET';
    const body: unknown = typeof init.body === 'string' ? JSON.parse(init.body) : undefined;
    const entry = { method, path, body, headers: init.headers as Record<string, string> };
    asked.push(entry);
    const route = routes[`${method} ${path}`];
    if (!route) return Promise.reject(new TypeError('no route'));
    const answer = route(entry);
    return Promise.resolve(new Response(JSON.stringify(answer.body), { status: answer.status ?? 200 }));
  });
  return asked;
}
