import { describe, expect, test } from 'vitest';
import { useSession } from '@/stores/session';
import { serve } from '@/testing/api';
import { startSession, takeStartToken } from './start-session';

const session = {
  access_token: 'x',
  expires_at: '2026-11-23T02:11:07.000Z',
  user: { user_id: 'u', email: null, display_name: 'Demo', role: 'owner', permissions: ['accounts.view', 'guard.change', 'trade'], locale: 'en', is_demo: true },
};
const refused = { title: 'x', status: 401, code: 'not_authenticated' };

describe('starting a session', () => {
  test('takes the token out of the address before anything else', () => {
    history.replaceState(null, '', '/?a=1#start=abc.DEF-1_~');
    expect(takeStartToken(window)).toBe('abc.DEF-1_~');
    expect(location.hash).toBe('');
    expect(location.search).toBe('?a=1');
  });

  test('clears even a link that is damaged', () => {
    history.replaceState(null, '', '/#start=<script>');
    expect(takeStartToken(window)).toBeNull();
    expect(location.hash).toBe('');
  });

  test('signs in once with the start link', async () => {
    history.replaceState(null, '', '/#start=abc');
    const asked = serve({ 'POST /auth/start': () => ({ body: session }) });
    await startSession();
    expect(asked.map((each) => [each.path, each.body])).toEqual([['/auth/start', { token: 'abc' }]]);
    expect(useSession.getState()).toMatchObject({ status: 'signed_in', user: { display_name: 'Demo' } });
  });

  test('goes on with the cookie when the link was used before', async () => {
    history.replaceState(null, '', '/#start=abc');
    serve({ 'POST /auth/start': () => ({ status: 401, body: refused }), 'POST /auth/refresh': () => ({ body: session }) });
    await startSession();
    expect(useSession.getState().status).toBe('signed_in');
  });

  test('asks to sign in when there is neither', async () => {
    serve({ 'POST /auth/refresh': () => ({ status: 401, body: refused }) });
    await startSession();
    expect(useSession.getState().status).toBe('signed_out');
  });

  test('says unreachable, not signed out, when nobody answers', async () => {
    serve({});
    await startSession();
    expect(useSession.getState().status).toBe('unreachable');
  });
});
