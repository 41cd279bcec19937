import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Request, Trade } from '@/api/schema';
import { useAccounts } from '@/stores/accounts';
import { serve } from '@/testing/api';
import { renderPage } from '@/testing/render';
import { GUARDED, World } from '@/testing/story/world';
import { AddMarginDialog } from './add-margin-dialog';
import { CloseDialog } from './close-dialog';

const world = new World(0);
const trade: Trade = world.tradesOf(GUARDED)[0]!;
const path = `/accounts/${GUARDED}/trades/${trade.trade_id}`;
const done = (): void => undefined;

function request(status: Request['status']): Request {
  return { request_id: 'r1', command: 'add_margin', status, detail: null, created_at: '2026-11-23T02:11:07.000Z', settled_at: null };
}

beforeEach(() => useAccounts.getState().fill([world.account(GUARDED)]));

describe('adding margin', () => {
  test('names amount, unit and account before it is confirmed, and sends one key', async () => {
    const asked = serve({
      [`POST ${path}/add-margin`]: () => ({ body: request('requested') }),
      'GET /requests/r1': () => ({ body: request('confirmed') }),
    });
    renderPage(<AddMarginDialog trade={trade} name="25x long" onDone={done} />);
    expect(screen.getByRole('dialog')).toHaveTextContent('From account Guarded (demo)');
    const input = screen.getByLabelText('Amount in sat');
    await userEvent.clear(input);
    await userEvent.type(input, '50000');
    await userEvent.click(screen.getByRole('button', { name: /^Add 50\s000\ssat$/ }));
    expect(await screen.findByText('Confirmed by the exchange.')).toBeInTheDocument();
    const sent = asked.find((each) => each.method === 'POST');
    expect(sent?.body).toEqual({ amount_sats: 50_000 });
    expect(sent?.headers['Idempotency-Key']).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('is not offered above the free balance', async () => {
    serve({});
    renderPage(<AddMarginDialog trade={trade} name="25x long" onDone={done} />);
    const input = screen.getByLabelText('Amount in sat');
    await userEvent.clear(input);
    await userEvent.type(input, '9000000');
    expect(screen.getByRole('button', { name: /^Add/ })).toBeDisabled();
    expect(screen.getByText(/More than the free balance/)).toBeInTheDocument();
  });

  test('says unknown when the exchange gave no certain answer', async () => {
    serve({
      [`POST ${path}/add-margin`]: () => ({ body: request('sent') }),
      'GET /requests/r1': () => ({ body: request('unknown') }),
    });
    renderPage(<AddMarginDialog trade={trade} name="25x long" onDone={done} />);
    await userEvent.click(screen.getByRole('button', { name: /^Add/ }));
    expect(await screen.findByText(/^Unknown since/)).toHaveTextContent('nothing is sent again');
  });
});

describe('closing', () => {
  test('asks again under the same key when no answer came', async () => {
    let isAway = true;
    const asked = serve({
      [`POST ${path}/close`]: () => {
        if (isAway) throw new TypeError('network');
        return { body: request('confirmed') };
      },
      'GET /requests/r1': () => ({ body: request('confirmed') }),
    });
    renderPage(<CloseDialog trade={trade} name="25x long" onDone={done} />);
    await userEvent.click(screen.getByRole('button', { name: 'Close the trade' }));
    expect(await screen.findByText(/it may or may not have been taken/)).toBeInTheDocument();
    isAway = false;
    await userEvent.click(screen.getByRole('button', { name: /Ask again/ }));
    expect(await screen.findByText('Confirmed by the exchange.')).toBeInTheDocument();
    const keys = asked.filter((each) => each.method === 'POST').map((each) => each.headers['Idempotency-Key']);
    expect(keys).toHaveLength(2);
    expect(keys[0]).toBe(keys[1]);
  });

  test('tells a refusal in the words of the answer', async () => {
    serve({ [`POST ${path}/close`]: () => ({ status: 409, body: { title: 'x', status: 409, code: 'not_running', detail: 'The trade is not running.' } }) });
    renderPage(<CloseDialog trade={trade} name="25x long" onDone={done} />);
    await userEvent.click(screen.getByRole('button', { name: 'Close the trade' }));
    await waitFor(() => expect(screen.getByRole('status')).toHaveTextContent('Refused. The trade is not running.'));
  });
});
