import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, test } from 'vitest';
import { Toaster } from 'sonner';
import { monotonicNow } from '@/lib/clock';
import { useAccounts } from '@/stores/accounts';
import { useConnection } from '@/stores/connection';
import { serve } from '@/testing/api';
import { renderPage } from '@/testing/render';
import { GUARDED, World } from '@/testing/story/world';
import { StopSpending } from './stop-spending';
import { WatchBanner } from './watch-banner';

const world = new World(0);
const account = world.account(GUARDED);
const trade = world.tradesOf(GUARDED)[0]!;

beforeEach(() => {
  useAccounts.getState().fill([account]);
  useConnection.setState({ status: { kind: 'open' }, lastFrameAt: monotonicNow() });
});

describe('stop spending', () => {
  test('is one press for everything and lists what was already sent', async () => {
    const asked = serve({
      'POST /guard/stop-spending': () => ({
        body: { stopped: [], already_sent: [{ trade_id: 't', amount_sats: 208_000, sent_at: '2026-11-23T02:11:07.000Z' }] },
      }),
    });
    renderPage(<><StopSpending chosen={trade} chosenName="25x long" /><Toaster /></>);
    await userEvent.click(screen.getByRole('button', { name: 'Stop spending' }));
    expect(asked[0]?.body).toEqual({});
    expect(await screen.findByText(/Already sent before: 208\s000\ssat/)).toBeInTheDocument();
  });

  test('can be narrowed to one trade', async () => {
    const asked = serve({ 'POST /guard/stop-spending': () => ({ body: { stopped: [], already_sent: [] } }) });
    renderPage(<StopSpending chosen={trade} chosenName="25x long" />);
    await userEvent.click(screen.getByRole('button', { name: 'Stop spending for' }));
    await userEvent.click(await screen.findByRole('menuitem', { name: 'This trade: 25x long' }));
    await waitFor(() => expect(asked[0]?.body).toEqual({ exchange_account_id: GUARDED, trade_id: trade.trade_id }));
  });

  test('says loudly when it did not work', async () => {
    serve({});
    renderPage(<><StopSpending chosen={trade} chosenName="25x long" /><Toaster /></>);
    await userEvent.click(screen.getByRole('button', { name: 'Stop spending' }));
    expect(await screen.findByText('Spending is NOT stopped.')).toBeInTheDocument();
  });

  test('asks before spending begins again', async () => {
    useAccounts.getState().fill([{ ...account, is_spending_stopped: true }]);
    const asked = serve({ 'POST /guard/resume-spending': () => ({ body: { resumed: [], still_stopped: [] } }) });
    renderPage(<StopSpending chosen={trade} chosenName="25x long" />);
    await userEvent.click(screen.getByRole('button', { name: 'Resume spending' }));
    expect(asked).toHaveLength(0);
    await userEvent.click(screen.getAllByRole('button', { name: 'Resume spending' }).at(-1)!);
    await waitFor(() => expect(asked).toHaveLength(1));
  });
});

describe('the banner', () => {
  test('is absent while all is well', () => {
    renderPage(<WatchBanner />);
    expect(screen.queryByRole('alert')).toBeNull();
  });
  test('says since when nobody watches, and what still stands', () => {
    useAccounts.getState().acceptWatches({
      [GUARDED]: { state: 'unwatched', since: '2026-11-23T02:11:07.000Z', last_seen_age_s: 4.2, reasons: ['monitor_silent'] },
    });
    renderPage(<WatchBanner />);
    expect(screen.getByRole('alert')).toHaveTextContent(/unwatched for 4\ss/);
    expect(screen.getByRole('alert')).toHaveTextContent('The safety stops at the exchange stand');
    expect(screen.getByRole('alert')).toHaveTextContent('the monitor is silent');
  });
  test('shows the loss of the line without claiming that anyone watches', () => {
    useConnection.setState({ status: { kind: 'waiting', retryInMs: 500, attempt: 3 }, lastFrameAt: monotonicNow() - 12_000 });
    renderPage(<WatchBanner />);
    expect(screen.getByRole('alert')).toHaveTextContent(/No line to Axisor for 1[12]\ss/);
  });
});
