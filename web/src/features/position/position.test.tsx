import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { useState, type ReactNode } from 'react';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Check, Drill, LadderPreview, RescueReport, RuleDocument, TakeBack, Trade, WhyNot } from '@/api/schema';
import { useView } from '@/stores/view';
import { serve, type Asked } from '@/testing/api';
import { ladderOf } from '@/testing/guard/ladder';
import { renderPage } from '@/testing/render';
import { GUARDED, World } from '@/testing/story/world';
import { LadderPanel } from '@/components/ladder-panel';
import { CheckPanel, DrillPanel } from './proof-panels';
import { RescuesPanel } from './rescues-panel';
import { TakeBackDialog } from './take-back-dialog';
import { WhatIf } from './what-if';
import { WhyPanel } from '@/components/why-panel';

const world = new World(0);
const trade: Trade = world.tradesOf(GUARDED)[0]!;
const fixture = world.trades[0]!;
const ladder: LadderPreview = ladderOf(fixture, fixture.body!, 62_000);
const rule: RuleDocument = { ...fixture.body!, rule_id: 'r', version: 1, scope: 'trade' };
const path = `/accounts/${GUARDED}/trades/${trade.trade_id}`;
const at = '2026-11-23T02:11:07.000Z';

function WithPrice({ of = trade, events = ladder }: { of?: Trade; events?: LadderPreview }): ReactNode {
  const [price, setPrice] = useState<number | null>(null);
  return <WhatIf trade={of} ladder={events} price={price} onPrice={setPrice} />;
}

beforeEach(() => useView.getState().closeDecision());

describe('what if', () => {
  test('tells what would have happened by the price looked at, and no more', () => {
    renderPage(<WithPrice />);
    expect(screen.getByText('Nothing would have happened yet.')).toBeInTheDocument();
    const slider = screen.getByRole('slider');
    fireEvent.change(slider, { target: { value: '60700' } });
    expect(screen.getByText(/208\s\d{3}\ssat added|207\s992\ssat added/)).toBeInTheDocument();
    expect(screen.queryByText(/Closed by the safety stop/)).not.toBeInTheDocument();
    fireEvent.change(slider, { target: { value: String(ladder.covered_to_price) } });
    expect(screen.getByText(/Closed by the safety stop/)).toBeInTheDocument();
    expect(screen.getByText('Comes back')).toBeInTheDocument();
  });

  test('has danger at the left for a short as well', () => {
    const short: Trade = { ...trade, side: 'short', entry_price: 62_000, last_price: 62_000, liquidation_price: 64_583.5 };
    const event = { ...ladder.events[0]!, price: 63_500 };
    renderPage(<WithPrice of={short} events={{ ...ladder, events: [event] }} />);
    const slider = screen.getByRole('slider');
    expect(slider).toHaveAttribute('min', '-64583.5');
    expect(slider).toHaveAttribute('max', '-62000');
    fireEvent.change(slider, { target: { value: '-63000' } });
    expect(screen.getByText('Nothing would have happened yet.')).toBeInTheDocument();
    fireEvent.change(slider, { target: { value: '-64000' } });
    expect(screen.getByTestId('what-if-price')).toHaveTextContent(/64\s000/);
    expect(screen.getByText('You are told.')).toBeInTheDocument();
  });
});

describe('why nothing happens now', () => {
  const whyNot: WhyNot = {
    at,
    price: 62_000,
    steps: [
      { key: 'warn', mark_price: 61_047, ready: true, is_due: false, away_share: 0.0154, blocks: [] },
      { key: 'top_up', mark_price: 60_784.5, ready: true, is_due: true, away_share: 0, blocks: [{ code: 'spending_stopped', data: {} }] },
    ],
    next: { code: 'price', data: { price: 60_784.5 } },
  };
  test('each step says its price, how far it is and what holds it back', () => {
    renderPage(<LadderPanel rule={rule} ladder={ladder} whyNot={whyNot} />);
    expect(screen.getByTestId('step-warn')).toHaveTextContent(/When room falls to 60\s%, tell me/);
    expect(screen.getByTestId('step-warn')).toHaveTextContent(/ready · 1.54\s% away/);
    expect(screen.getByTestId('step-top_up')).toHaveTextContent('Spending is stopped.');
    expect(screen.getByText(/Next at 60\s784.5/)).toBeInTheDocument();
    expect(screen.getByText(/Spends at most 400\s000\ssat\. At most 3 top-ups/)).toBeInTheDocument();
  });
  test('is said to be unknown while it is not read', () => {
    renderPage(<LadderPanel rule={rule} ladder={null} whyNot={null} />);
    expect(screen.getByTestId('step-warn')).toHaveTextContent('state unknown');
  });
});

describe('the history', () => {
  test('opens a decision with its inputs and proof', async () => {
    const entry = { decision_id: 'd1', at, kind: 'held', sentence: { code: 'limit_used', data: { spent_sats: 400_000, limit_sats: 400_000 } }, rule_version: 1, code_version: '0.1.0', sealed: true };
    serve({
      [`GET ${path}/why`]: () => ({ body: { items: [entry], next_cursor: 'c1' } }),
      [`GET ${path}/why?cursor=c1`]: () => ({ body: { items: [{ ...entry, decision_id: 'd0', kind: 'did', sentence: { code: 'no_balance', data: {} } }], next_cursor: null } }),
    });
    renderPage(<WhyPanel of={path} accountId={trade.exchange_account_id} news="" />);
    expect(await screen.findByText(/400\s000\ssat of its 400\s000\ssat are spent/)).toBeInTheDocument();
    await userEvent.click(screen.getByRole('button', { name: 'Older ones' }));
    expect(await screen.findByText('not enough free balance')).toBeInTheDocument();
    await userEvent.click(screen.getAllByRole('button', { name: 'What exactly happened' })[0]!);
    expect(useView.getState().decision).toEqual({ accountId: GUARDED, decisionId: 'd1' });
  });
  test('says when it is empty and when it cannot be read', async () => {
    serve({ [`GET ${path}/why`]: () => ({ body: { items: [], next_cursor: null } }) });
    const { unmount } = renderPage(<WhyPanel of={path} accountId={trade.exchange_account_id} news="" />);
    expect(await screen.findByText('No decision about this trade yet.')).toBeInTheDocument();
    unmount();
    serve({});
    renderPage(<WhyPanel of={path} accountId={trade.exchange_account_id} news="" />);
    expect(await screen.findByText('The decisions could not be read')).toBeInTheDocument();
  });
});

describe('rescues', () => {
  const report = (kept: number | null): RescueReport => ({
    decision_id: 'd1', at, amount_sats: 208_000, price: 60_784, old_liquidation_price: 59_615.5, new_liquidation_price: 58_446.5,
    then: { at, kept_sats: kept, with_value_sats: 300_000, without_value_sats: 100_000, would_have_died: false, added_sats: 208_000, note: null },
    after_24h: null, after_24h_at: null,
  });
  test.each([
    [-8_000, 'It cost', 'text-loss'],
    [12_000, 'Kept', 'text-profit'],
  ])('%s sat kept reads "%s"', async (kept, words, style) => {
    serve({ [`GET ${path}/rescues`]: () => ({ body: { items: [report(kept)] } }) });
    renderPage(<RescuesPanel trade={trade} />);
    const outcome = (await screen.findAllByTestId('outcome'))[0]!;
    expect(outcome).toHaveTextContent(words);
    expect(outcome.querySelector('.text-profit, .text-loss')).toHaveClass(style);
  });
  test('an unknown result is unknown, not zero', async () => {
    serve({ [`GET ${path}/rescues`]: () => ({ body: { items: [report(null)] } }) });
    renderPage(<RescuesPanel trade={trade} />);
    expect((await screen.findAllByTestId('outcome'))[0]).toHaveTextContent('Kept: unknown');
  });
});

describe('taking back', () => {
  const offer: TakeBack = {
    amount_sats: 208_000, returnable_sats: 208_000, from_profit_sats: 8_000, from_margin_sats: 200_000, realizes_profit: true,
    liquidation_price: 59_000, room_share: 1, safety_stop_price: 59_300, held_by: null, held_until: null,
  };
  test('shows that it realises profit before it is confirmed, and sends the amount shown', async () => {
    const asked: Asked[] = serve({
      [`GET ${path}/take-back`]: () => ({ body: offer }),
      [`POST ${path}/take-back`]: () => ({ body: { request_id: 'r1', command: 'cash_in', status: 'confirmed', detail: null, created_at: at, settled_at: at } }),
      'GET /requests/r1': () => ({ body: { request_id: 'r1', command: 'cash_in', status: 'confirmed', detail: null, created_at: at, settled_at: at } }),
    });
    renderPage(<TakeBackDialog trade={trade} name="25x long" onDone={() => undefined} />);
    expect(await screen.findByText(/It takes profit first/)).toBeInTheDocument();
    await userEvent.click(screen.getByRole('button', { name: /^Take back 208/ }));
    expect(await screen.findByText('Confirmed by the exchange.')).toBeInTheDocument();
    expect(asked.find((each) => each.method === 'POST')?.body).toEqual({ amount_sats: 208_000 });
  });
  test('says why nothing comes back now', async () => {
    serve({ [`GET ${path}/take-back`]: () => ({ body: { ...offer, amount_sats: 0, held_by: 'after_rescue' } }) });
    renderPage(<TakeBackDialog trade={trade} name="25x long" onDone={() => undefined} />);
    expect(await screen.findByText(/a rescue was less than 30 min ago/)).toBeInTheDocument();
    expect(screen.queryByRole('button', { name: /^Take back/ })).not.toBeInTheDocument();
  });
});

describe('proof', () => {
  test('a drill shows each request with its time and answer, and a failed step as failed', async () => {
    const step = { method: 'POST', target: '/trade', sent_at: at, answered_at: at, ms: 41, answer_status: 200, detail: null };
    let drill: Drill | null = null;
    const asked = serve({
      [`GET ${path}/drill`]: () => ({ body: drill }),
      [`POST ${path}/drill`]: () => {
        drill = { drill_id: 'x', status: 'failed', started_at: at, valid_until: null, steps: [{ ...step, name: 'add_margin', ok: true }, { ...step, name: 'verify', ok: false, detail: 'The margin did not grow.' }] };
        return { body: drill };
      },
    });
    renderPage(<DrillPanel trade={trade} />);
    await userEvent.click(await screen.findByRole('button', { name: 'Start the drill' }));
    expect(await screen.findByText('The margin did not grow.')).toBeInTheDocument();
    expect(screen.getByRole('status')).toHaveTextContent('Failed.');
    expect(screen.getAllByRole('listitem')[0]).toHaveTextContent(/41\sms.*→ 200/);
    expect(asked.find((each) => each.method === 'POST')?.headers['Idempotency-Key']).toBeTruthy();
  });
  test('a difference from the exchange is never called agreement', async () => {
    const check: Check = { at, agrees: false, rows: [{ field: 'margin_sats', ours: 400_000, theirs: 400_100, difference: -100, unit: 'sats', age_s: 2 }] };
    serve({ [`POST ${path}/check`]: () => ({ body: check }) });
    renderPage(<CheckPanel trade={trade} />);
    await userEvent.click(screen.getByRole('button', { name: 'Check now' }));
    const status = await screen.findByRole('status');
    expect(status).toHaveTextContent('There are differences.');
    const row = within(screen.getByRole('table')).getByRole('row', { name: /^Margin/ });
    expect(row).toHaveTextContent(/400\s000\ssat400\s100\ssat−100\ssat2\ss/);
  });
  test('a check that fails says that nothing is known', async () => {
    serve({});
    renderPage(<CheckPanel trade={trade} />);
    await userEvent.click(screen.getByRole('button', { name: 'Check now' }));
    await waitFor(() => expect(screen.getByRole('alert')).toHaveTextContent('Nothing is known about agreement.'));
  });
});
