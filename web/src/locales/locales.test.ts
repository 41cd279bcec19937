import { describe, expect, test } from 'vitest';
import en from './en.json';
import ptBR from './pt-BR.json';

const sources = import.meta.glob<string>('../**/*.{ts,tsx}', { query: '?raw', import: 'default', eager: true });
const code: [string, string][] = Object.entries(sources).filter(
  ([path]) => !path.includes('.test.') && !path.includes('/testing/'),
);

/** Words of the workshop that a reader never meets. */
const FORBIDDEN = /\b(rungs?|arming|armed|hysteresis|intents?|fence[ds]?|outbox)\b/i;

function flatten(node: object, prefix = ''): Map<string, string> {
  const flat = new Map<string, string>();
  for (const [key, value] of Object.entries(node)) {
    if (typeof value === 'string') flat.set(prefix + key, value);
    else for (const [inner, text] of flatten(value as object, `${prefix}${key}.`)) flat.set(inner, text);
  }
  return flat;
}

const english = flatten(en);
const portuguese = flatten(ptBR);

function placeholders(text: string): string[] {
  return [...text.matchAll(/\{\{(\w+)\}\}|<(\w+)\s*\/?>/g)].map((match) => match[1] ?? match[2] ?? '').sort();
}

describe('the words of both languages', () => {
  test('have the same keys', () => {
    expect([...portuguese.keys()].sort()).toEqual([...english.keys()].sort());
  });
  test('are never empty and use the same figures', () => {
    for (const [key, text] of english) {
      const other = portuguese.get(key) ?? '';
      expect(text.trim(), key).not.toBe('');
      expect(other.trim(), key).not.toBe('');
      expect([...new Set(placeholders(other))], key).toEqual([...new Set(placeholders(text))]);
    }
  });
  test('never use the words of the workshop', () => {
    for (const [key, text] of [...english, ...portuguese]) expect(`${key}: ${text}`).not.toMatch(FORBIDDEN);
  });
  test('use the agreed words', () => {
    const sentence = (words: Map<string, string>): string => ['step.when.room_share', 'step.do.top_up', 'rule.spend'].map((key) => words.get(key)).join(', ');
    expect(sentence(portuguese)).toMatch(/folga.*repor até.*gastar no máximo/);
    expect(portuguese.get('chart.top_up')).toBe('Reforço');
    expect(sentence(english)).toMatch(/room.*refill to.*spend at most/);
  });
});

describe('the source', () => {
  test('asks only for words that exist', () => {
    for (const [path, text] of code) {
      for (const match of text.matchAll(/(?:\bt\(|i18nKey=)'([\w.]+)'/g)) {
        expect(english.has(match[1] ?? ''), `${path}: ${match[1] ?? ''}`).toBe(true);
      }
    }
  });
  test('has no workshop words in what it shows', () => {
    for (const [path, text] of code) {
      for (const match of text.matchAll(/'([^'\n]*)'|"([^"\n]*)"|`([^`]*)`|>([^<>{}\n]+)</g)) {
        const shown = match[1] ?? match[2] ?? match[3] ?? match[4] ?? '';
        expect(shown, path).not.toMatch(FORBIDDEN);
      }
    }
  });
});
