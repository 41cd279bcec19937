import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, test } from 'vitest';
import type { CoverageOverview, Fund } from '@/api/schema';
import { useDraft } from '@/stores/draft';
import { serve, type Asked, type Route } from '@/testing/api';
import { guardAnswer } from '@/testing/guard/answers';
import { overviewOf } from '@/testing/guard/coverage';
import { renderRouted } from '@/testing/render';
import { GUARDED, World } from '@/testing/story/world';
import { GuardOverview } from './guard-overview';

let world: World;
let asked: Asked[];
let fund: Fund;
let retries: number;

const fixture = (method: string, path: string): Route => ({ body }) =>
  guardAnswer({ world, method, path, search: new URLSearchParams(), body }) ?? { status: 404, body: {} };

function show(options: { overview?: CoverageOverview | null; hasFailed?: boolean } = {}): void {
  const { overview = overviewOf(world), hasFailed = false } = options;
  renderRouted(
    <GuardOverview
      overview={overview}
      receivedAt={performance.now()}
      hasFailed={hasFailed}
      accounts={[{ account: world.account(GUARDED), trades: world.tradesOf(GUARDED) }]}
      onRetry={() => (retries += 1)}
    />,
  );
}

beforeEach(() => {
  world = new World(0);
  retries = 0;
  fund = { request_id: 'f1', status: 'waiting', payment_request: 'lnbc1invoice', amount_sats: 96_500, expires_at: null };
  useDraft.getState().close();
  asked = serve({
    [`GET /accounts/${GUARDED}/guard/rule`]: fixture('GET', `/accounts/${GUARDED}/guard/rule`),
    [`PUT /accounts/${GUARDED}/guard/new-trades`]: ({ body }) => ({ body: { ...(body as object), is_chosen: true } }),
    [`GET /accounts/${GUARDED}/cross`]: fixture('GET', `/accounts/${GUARDED}/cross`),
    [`POST /accounts/${GUARDED}/fund`]: () => ({ body: { request_id: 'f1', command: 'fund', status: 'requested', detail: null, created_at: '2026-11-23T02:11:07.000Z', settled_at: null } }),
    [`GET /accounts/${GUARDED}/fund/f1`]: () => ({ body: fund }),
    'POST /guard/stop-spending': () => ({ body: { stopped: [], already_sent: [] } }),
  });
});

const card = async (label: string): Promise<HTMLElement> => (await screen.findByRole('link', { name: label })).closest('li')!;

describe('the meter', () => {
  test('tells each state in a word and each gap with its reason and figures', async () => {
    show();
    const green = await card('25x long');
    expect(within(green).getByTestId('coverage-state')).toHaveTextContent('Protected');
    expect(green).toHaveTextContent(/Protected to 57\s674, with at most 400\s000\ssat more\./);
    const amber = await card('50x long');
    expect(within(amber).getByTestId('coverage-state')).toHaveTextContent('With gaps');
    expect(amber).toHaveTextContent(/Not enough free balance at the exchange: 96\s500\ssat are missing/);
    expect(screen.getByTestId('user-coverage')).toHaveTextContent('Protected, with gaps.');
  });

  test('calls the cross position amber and says what it lacks', async () => {
    show();
    const cross = await screen.findByTestId('cross-card');
    expect(cross).toHaveTextContent('With gaps');
    expect(cross).toHaveTextContent('The exchange has no stop for a cross position');
  });

  test('is never green for what it does not know', async () => {
    const overview = overviewOf(world);
    show({ overview: { ...overview, accounts: [] } });
    const unknown = await card('25x long');
    expect(within(unknown).getByTestId('coverage-state')).toHaveTextContent('Unknown');
    expect(unknown).toHaveTextContent('is not known at the moment');
  });

  test('turns red in word and shape when nobody watches', async () => {
    world.unwatchedFor = 5;
    show();
    const red = await card('25x long');
    expect(within(red).getByTestId('coverage-state')).toHaveAttribute('data-state', 'red');
    expect(red).toHaveTextContent('Nobody is watching');
  });

  test('says what failed and tries again when asked', async () => {
    show({ overview: null, hasFailed: true });
    const failure = await screen.findByRole('alert');
    expect(failure).toHaveTextContent('The coverage could not be read');
    await userEvent.click(within(failure).getByRole('button', { name: 'Try again' }));
    expect(retries).toBe(1);
  });

  test('tells that figures are from before when reading fails later', async () => {
    show({ hasFailed: true });
    expect(await screen.findByTestId('user-coverage')).toHaveTextContent('These figures are from before');
  });

  test('has words for a reason it does not know', async () => {
    const overview = overviewOf(world);
    overview.user.reasons = [{ code: 'brand_new', data: {} }];
    show({ overview });
    expect(await screen.findByTestId('user-coverage')).toHaveTextContent('no words for: brand new');
  });
});

describe('what can be done about it', () => {
  test('a shortfall is funded by an invoice that is shown until it is paid', async () => {
    show();
    await userEvent.click(within(await card('50x long')).getByRole('button', { name: /^Fund/ }));
    await userEvent.click(screen.getByRole('button', { name: /^Invoice for/ }));
    expect(await screen.findByRole('img', { name: /Lightning invoice/ })).toBeInTheDocument();
    expect(screen.getByRole('link', { name: 'Open in wallet' })).toHaveAttribute('href', 'lightning:lnbc1invoice');
    expect(screen.getByRole('status')).toHaveTextContent('Waiting for the payment.');
    const sent = asked.find((each) => each.path.endsWith('/fund'));
    expect(sent?.body).toEqual({ amount_sats: 96_500 });
    expect(sent?.headers['Idempotency-Key']).toBeTruthy();
    fund = { ...fund, status: 'paid' };
    await waitFor(() => expect(screen.getByRole('status')).toHaveTextContent(/Paid: 96\s500\ssat/), { timeout: 4_000 });
    expect(screen.queryByRole('img', { name: /Lightning invoice/ })).not.toBeInTheDocument();
  });

  test('an unknown payment is said to be unknown', async () => {
    fund = { ...fund, status: 'unknown', payment_request: null };
    show();
    await userEvent.click(within(await card('50x long')).getByRole('button', { name: /^Fund/ }));
    await userEvent.click(screen.getByRole('button', { name: /^Invoice for/ }));
    expect(await screen.findByText(/Whether it was paid is not known yet/)).toBeInTheDocument();
  });

  test('spending stops for one position with one press', async () => {
    show();
    await userEvent.click(await screen.findByRole('button', { name: 'Stop spending: 25x long' }));
    await waitFor(() => expect(asked.find((each) => each.path === '/guard/stop-spending')?.body).toEqual({ exchange_account_id: GUARDED, trade_id: world.trades[0]?.id }));
  });

  test('what new trades get is chosen, and not before it is chosen', async () => {
    show();
    const list = await screen.findByRole('combobox', { name: 'New trades get' });
    expect(list).toHaveDisplayValue('Not chosen: Watch');
    await userEvent.selectOptions(list, 'Hold');
    await waitFor(() => expect(asked.find((each) => each.method === 'PUT')?.body).toEqual({ preset: 'hold', version: 0 }));
  });

  test('the rule of the account opens in the editor', async () => {
    show();
    await userEvent.click(await screen.findByRole('button', { name: 'Rule of this account' }));
    expect(useDraft.getState().scope).toEqual({ kind: 'account', accountId: GUARDED });
  });
});
