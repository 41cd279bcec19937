import { act, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, test } from 'vitest';
import type { RuleBody, RuleView, Trade } from '@/api/schema';
import { useAccounts } from '@/stores/accounts';
import { useDraft } from '@/stores/draft';
import { useTrades } from '@/stores/trades';
import { serve, type Asked } from '@/testing/api';
import { guardAnswer } from '@/testing/guard/answers';
import { ladderOf, presetBody } from '@/testing/guard/ladder';
import { renderPage } from '@/testing/render';
import { GUARDED, World } from '@/testing/story/world';
import { dotsOf } from './nights-card';
import { RuleSheet } from './rule-sheet';

let world: World;
let trade: Trade;
let asked: Asked[];
let view: RuleView;
let saves: ((body: { rule: RuleBody; accepts_conflicts?: boolean }) => { status?: number; body: unknown }) | null;

function path(): string {
  return `/accounts/${GUARDED}/trades/${trade.trade_id}/guard/rule`;
}
function problem(status: number, code: string, extra: object = {}): { status: number; body: unknown } {
  return { status, body: { title: code, status, code, detail: 'No.', ...extra } };
}

beforeEach(() => {
  world = new World(0);
  trade = world.tradesOf(GUARDED)[0]!;
  saves = null;
  const question = (method: string, to: string, body: unknown) => guardAnswer({ world, method, path: to, search: new URLSearchParams(), body })!;
  view = question('GET', path(), undefined).body as RuleView;
  asked = serve({
    [`GET ${path()}`]: () => ({ body: view }),
    [`POST ${path()}/preview`]: ({ body }) => question('POST', `${path()}/preview`, body),
    [`PUT ${path()}`]: ({ body }) => saves?.(body as { rule: RuleBody }) ?? question('PUT', path(), body),
    [`DELETE ${path()}`]: () => ({ body: {} }),
    [`PUT ${path().replace('/rule', '')}`]: ({ body }) => ({ body }),
    [`GET /accounts/${GUARDED}/guard/rule`]: () => question('GET', `/accounts/${GUARDED}/guard/rule`, undefined),
    [`PUT /accounts/${GUARDED}/guard/rule`]: ({ body }) => question('PUT', `/accounts/${GUARDED}/guard/rule`, body),
  });
  useAccounts.getState().fill([world.account(GUARDED)]);
  useTrades.getState().accept(GUARDED, [trade]);
  useDraft.getState().close();
  useDraft.getState().open({ kind: 'trade', accountId: GUARDED, tradeId: trade.trade_id });
});

function sentence(): string {
  const node = screen.getByTestId('rule-sentence').cloneNode(true) as HTMLElement;
  for (const input of node.querySelectorAll('input')) input.replaceWith(input.value);
  return node.textContent.replace(/[\u202f\u00a0]/g, ' ');
}
async function opened(): Promise<void> {
  renderPage(<RuleSheet />);
  await waitFor(() => expect(sentence()).toContain('close at'));
}
async function edit(label: string, text: string): Promise<void> {
  const input = screen.getAllByRole('textbox', { name: label })[0]!;
  await userEvent.clear(input);
  await userEvent.type(input, `${text}{Enter}`);
}
const previews = (): Asked[] => asked.filter((each) => each.path.endsWith('/preview'));
const puts = (): Asked[] => asked.filter((each) => each.method === 'PUT' && each.path === path());

describe('the rule as a sentence', () => {
  test('states mark, refill, limit and what is left in the worst case', async () => {
    await opened();
    expect(sentence()).toBe(
      'When room falls to 50 % (60 784.5), refill to 100 %, spend at most 400 000 sat on this trade; ' +
        'if that is not enough, close at 57 674 with about 50 000 sat of 800 000 sat left.',
    );
  });

  test('follows an edit with a new preview', async () => {
    await opened();
    await edit('When: top up', '40');
    await waitFor(() => expect(sentence()).toContain('When room falls to 40 % (60 547'));
    const { rule } = previews().at(-1)!.body as { rule: RuleBody };
    expect(rule.steps[1]?.trigger).toEqual({ kind: 'room_share', share: 0.4 });
    expect(rule.preset).toBe('custom');
  });

  test('ignores what is no figure, and Ctrl+Z takes an edit back', async () => {
    await opened();
    await edit('Spend at most', 'lots');
    expect(sentence()).toContain('spend at most 400 000 sat');
    expect(screen.getByRole('button', { name: 'Save' })).toBeDisabled();
    await edit('Spend at most', '100000');
    expect(sentence()).toContain('100 000 sat');
    await userEvent.keyboard('{Control>}z{/Control}');
    expect(sentence()).toContain('spend at most 400 000 sat');
  });

  test('is saved with the version it was read at', async () => {
    await opened();
    await edit('Spend at most', '300 000');
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    await waitFor(() => expect(useDraft.getState().scope).toBeNull());
    expect(puts()[0]?.body).toMatchObject({ version: 1, rule: { limits: { position_sats: 300_000 } } });
    expect(puts()[0]?.body).not.toHaveProperty('accepts_conflicts');
  });

  test('is refused with the price that shows why it would act at once', async () => {
    saves = () => problem(422, 'fires_now', { context: { mark_price: 62_100, last_price: 62_000 } });
    await opened();
    await edit('Spend at most', '300 000');
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    expect(await screen.findByRole('alert')).toHaveTextContent(/act at once: the mark lies at 62\s100, the price at 62\s000/);
  });

  test('keeps the edits when the guard was changed elsewhere', async () => {
    await opened();
    await edit('Spend at most', '300 000');
    view = { ...view, own: { ...view.own!, version: 7 } };
    const again = await screen.findByRole('button', { name: 'Take the newest and keep my edits' }, { timeout: 7_000 });
    await userEvent.click(again);
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    await waitFor(() => expect(puts()[0]?.body).toMatchObject({ version: 7, rule: { limits: { position_sats: 300_000 } } }));
  }, 15_000);
});

describe('contradictions', () => {
  test('are shown with the prices that prove them, and saved only when accepted', async () => {
    await opened();
    await userEvent.click(screen.getByText('More'));
    await edit('Give up at', '61000');
    const notice = await screen.findByRole('alert', { name: /contradicts/ });
    expect(notice).toHaveTextContent('given up before this step acts: top up');
    expect(notice).toHaveTextContent(/61\s000 given up → 60\s784.5 mark of top up/);
    expect(screen.getByRole('button', { name: 'Save' })).toBeDisabled();
    await userEvent.click(within(notice).getByRole('checkbox'));
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    await waitFor(() => expect(puts()[0]?.body).toMatchObject({ accepts_conflicts: true }));
  });

  test('found only when saving are shown as well', async () => {
    saves = ({ accepts_conflicts: accepts }) =>
      accepts === true ? { body: {} } : problem(409, 'rule_conflicts', { context: { conflicts: [{ kind: 'stop_before_step', steps: ['top_up'], path: [], trade_id: null }] } });
    await opened();
    await edit('Spend at most', '300 000');
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    expect(await screen.findByText(/The stop closes the trade before this step acts/)).toBeInTheDocument();
  });
});

describe('everything else', () => {
  test('steps take every trigger and action', async () => {
    await opened();
    await userEvent.click(screen.getByText('More'));
    await userEvent.selectOptions(screen.getByRole('combobox', { name: 'When: top up' }), 'Price');
    await userEvent.selectOptions(screen.getByRole('combobox', { name: 'What it does: top up' }), 'Reduce');
    expect(useDraft.getState().draft.body?.steps[1]).toMatchObject({ trigger: { kind: 'price', price: 60_784.5 }, action: { kind: 'reduce', share: 0.5 } });
    await userEvent.click(screen.getByRole('button', { name: 'Add a step' }));
    expect(useDraft.getState().draft.body?.steps).toHaveLength(3);
    await userEvent.click(screen.getByRole('button', { name: 'Remove step 3' }));
    expect(useDraft.getState().draft.body?.steps).toHaveLength(2);
  });

  test('a part taken from the account shows the account and cannot be edited here', async () => {
    view = { ...view, inherited: { ...view.inherited!, stop_share: 0.2 } };
    await opened();
    await userEvent.click(screen.getByText('More'));
    await userEvent.click(screen.getByRole('checkbox', { name: 'Safety stop' }));
    const stop = screen.getByRole('textbox', { name: 'Safety stop at this share of full room' });
    expect(stop).toHaveValue('20\u00a0%');
    expect(stop).toBeDisabled();
    expect(useDraft.getState().draft.body?.inherits).toEqual(['stop']);
  });

  test('ready-made guards carry prices, worst case and nights, and say why one is not offered', async () => {
    view = { ...view, presets: [{ preset: 'cut', is_offered: true, reason: null, rule: presetBody('cut', world.trades[0]!) }, { preset: 'hold', is_offered: false, reason: 'leverage', rule: null }] };
    await opened();
    await userEvent.click(screen.getByText('Ready-made guards'));
    const cut = screen.getByTestId('preset-cut');
    await waitFor(() => expect(cut).toHaveTextContent(/Closes at 60\s4\d\d/));
    expect(cut).toHaveTextContent('does not raise the mean result');
    expect(screen.getByTestId('preset-hold')).toHaveTextContent('fees alone are 20 % of margin');
    await userEvent.click(within(cut).getByRole('button', { name: 'Use Cut' }));
    await waitFor(() => expect(sentence()).toMatch(/^When room falls to 35 % \(60 4\d\d(?:\.5)?\), close the trade; it spends nothing/));
  });

  test('a trade can be left unguarded, or go back to the rule of its account', async () => {
    await opened();
    await userEvent.click(screen.getByRole('button', { name: 'Do not guard this trade' }));
    await waitFor(() => expect(asked.some((each) => each.method === 'PUT' && JSON.stringify(each.body) === '{"is_guarded":false}')).toBe(true));
    await userEvent.click(screen.getByRole('button', { name: 'Back to the rule of its account' }));
    await waitFor(() => expect(asked.some((each) => each.method === 'DELETE')).toBe(true));
  });

  test('the rule of an account has no price path and no trade in its words', async () => {
    useDraft.getState().open({ kind: 'account', accountId: GUARDED });
    renderPage(<RuleSheet />);
    expect(await screen.findByText('Rule of Guarded (demo)')).toBeInTheDocument();
    await waitFor(() => expect(sentence()).toBe('When room falls to 60 %, tell me.'));
    expect(previews()).toHaveLength(0);
    expect(screen.queryByTestId('preview')).not.toBeInTheDocument();
  });

  test('says when the rule cannot be read', async () => {
    serve({});
    renderPage(<RuleSheet />);
    expect(await screen.findByText('The guard could not be read')).toBeInTheDocument();
  });

  test('an edit that arrives before the rule is kept', async () => {
    act(() => useDraft.getState().edit((body) => ({ ...body, stop_share: 0.1 }), 'begin'));
    await opened();
    expect(useDraft.getState().draft.body?.stop_share).toBe(0.1);
    expect(ladderOf(world.trades[0]!, useDraft.getState().draft.body!, 62_000).events).not.toHaveLength(0);
  });
});

test('one hundred nights are one hundred dots', () => {
  expect(dotsOf([3.4, 11.4, 19.6, 65.6]).reduce((sum, dots) => sum + dots, 0)).toBe(100);
});
