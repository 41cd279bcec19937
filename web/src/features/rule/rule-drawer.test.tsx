import { act, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, test } from 'vitest';
import type { RuleChange, Trade } from '@/api/schema';
import { ruleChangeOf } from '@/lib/rule-change';
import { useTrades } from '@/stores/trades';
import { useView } from '@/stores/view';
import { serve, type Asked } from '@/testing/api';
import { renderPage } from '@/testing/render';
import { previewOf } from '@/testing/story/plan';
import { GUARDED, World } from '@/testing/story/world';
import { RuleDrawer } from './rule-drawer';

let world: World;
let trade: Trade;
let asked: Asked[];
let saves: { status: number; body: unknown };

beforeEach(() => {
  world = new World(0);
  trade = world.tradesOf(GUARDED)[0]!;
  saves = { status: 200, body: { ...trade.guard!.rule!, version: 2 } };
  const path = `/accounts/${GUARDED}/trades/${trade.trade_id}/rule`;
  asked = serve({
    [`POST ${path}/preview`]: ({ body }) => ({ body: previewOf(world.trades[0]!, body as RuleChange) }),
    [`PUT ${path}`]: () => saves,
  });
  useTrades.getState().accept(GUARDED, [trade]);
  useView.getState().openRule(GUARDED, trade.trade_id, ruleChangeOf(trade.guard!.rule!));
  renderPage(<RuleDrawer />);
});

function sentence(): string {
  const node = screen.getByTestId('rule-sentence').cloneNode(true) as HTMLElement;
  for (const input of node.querySelectorAll('input')) input.replaceWith(input.value);
  return node.textContent.replace(/[\u202f\u00a0]/g, ' ');
}

async function edit(label: string, text: string): Promise<void> {
  const input = screen.getByRole('textbox', { name: label });
  await userEvent.clear(input);
  await userEvent.type(input, `${text}{Enter}`);
}

describe('the guard as a sentence', () => {
  test('states mark, refill, limit and what is left in the worst case', async () => {
    await waitFor(() => expect(sentence()).toContain('close at'));
    expect(sentence()).toBe(
      'When room falls to 50 % (60 784.5), refill to 100 %, spend at most 400 000 sat on this trade; ' +
        'if that is not enough, close at 57 674 with about 50 000 sat of 800 000 sat left.',
    );
  });

  test('follows an edit with a new preview', async () => {
    await edit('Top up when room falls to', '40');
    await waitFor(() => expect(sentence()).toContain('When room falls to 40 % (60 547'));
    expect(asked.filter((each) => each.path.endsWith('/preview')).at(-1)?.body).toMatchObject({ top_up_share: 0.4 });
  });

  test('ignores what is no figure', async () => {
    await edit('Spend at most', 'lots');
    expect(sentence()).toContain('spend at most 400 000 sat');
    expect(screen.getByRole('button', { name: 'Save' })).toBeDisabled();
  });

  test('is undone by Ctrl+Z', async () => {
    await edit('Spend at most', '100000');
    expect(sentence()).toContain('100 000 sat');
    await userEvent.keyboard('{Control>}z{/Control}');
    expect(sentence()).toContain('spend at most 400 000 sat');
  });

  test('is saved with the version it was read at', async () => {
    await edit('Spend at most', '300 000');
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    await waitFor(() => expect(useView.getState().draft).toBeNull());
    expect(asked.find((each) => each.method === 'PUT')?.body).toMatchObject({ position_limit_sats: 300_000, version: 1 });
  });

  test('says why it was not saved when it would act at once', async () => {
    saves = { status: 422, body: { title: 'fires_now', status: 422, code: 'fires_now', detail: 'The price is 62000, the mark 62100.' } };
    await edit('Top up when room falls to', '99');
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    expect(await screen.findByRole('alert')).toHaveTextContent('it would act at once. The price is 62000, the mark 62100.');
  });

  test('keeps the edits when the guard was changed elsewhere', async () => {
    await edit('Spend at most', '300 000');
    const newer: Trade = { ...trade, guard: { ...trade.guard!, rule: { ...trade.guard!.rule!, version: 7 } } };
    act(() => useTrades.getState().accept(GUARDED, [newer]));
    await userEvent.click(await screen.findByRole('button', { name: 'Take the newest and keep my edits' }));
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    await waitFor(() => expect(asked.find((each) => each.method === 'PUT')?.body).toMatchObject({ version: 7, position_limit_sats: 300_000 }));
  });
});
