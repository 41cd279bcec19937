import { screen } from '@testing-library/react';
import i18next from 'i18next';
import { expect, test } from 'vitest';
import { gaugeWords } from '@/lib/gauge-words';
import { NBSP, THIN } from '@/lib/units';
import { renderPage } from '@/testing/render';
import { GUARDED, UNGUARDED, World } from '@/testing/story/world';
import { Gauge } from './gauge';

function worldAt(seconds: number): World {
  const world = new World(0);
  world.advance(seconds + 2);
  return world;
}

test('the gauge is told in words', () => {
  const words = gaugeWords(worldAt(0).tradesOf(GUARDED)[0]!, i18next.t);
  expect(words).toMatch(new RegExp(`^Room 3\\.8\\d of 3\\.85 %, top-up at 60${THIN}784\\.5$`));
});

test('a trade nobody watches promises no top-up', () => {
  const world = worldAt(10);
  world.unwatchedFor = 4;
  const words = gaugeWords(world.tradesOf(GUARDED)[0]!, i18next.t);
  expect(words).toContain('unwatched: only the stop stands');
  expect(words).not.toContain('top-up at');
});

test('a liquidated trade says that nothing came back', () => {
  const words = gaugeWords(worldAt(60).tradesOf(UNGUARDED)[0]!, i18next.t);
  expect(words).toBe(`Liquidated at 59${THIN}615.5: 0 sat came back`);
});

test('the picture carries its words for readers who do not see it', () => {
  renderPage(<Gauge liquidation={1} entry={2} price={1.5} marks={[{ kind: 'stop', price: 1.2 }]} twin={`Room 1${NBSP}%`} />);
  expect(screen.getByRole('img', { name: `Room 1${NBSP}%` })).toBeInTheDocument();
});
