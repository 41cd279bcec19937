import { describe, expect, test } from 'vitest';
import { GUARDED, UNGUARDED, World } from '@/testing/story/world';
import { scenesOf } from './scene';

function namesAt(seconds: number): string[] {
  const world = new World(0);
  world.advance(seconds + 2);
  const lead = world.tradesOf(GUARDED)[0] ?? null;
  const leadTwin = world.tradesOf(UNGUARDED)[0] ?? null;
  return scenesOf({ demo: world.demo(), activity: world.activity, lead, leadTwin }).map((scene) => scene.name);
}

describe('the scenes of the story', () => {
  test('follow what really happened', () => {
    expect(namesAt(2)).toEqual(['start']);
    expect(namesAt(28)).toEqual(['start', 'warned']);
    expect(namesAt(36)).toEqual(['start', 'warned', 'rescued']);
    expect(namesAt(47)).toEqual(['start', 'warned', 'rescued', 'limit_used']);
    expect(namesAt(56)).toEqual(['start', 'warned', 'rescued', 'limit_used', 'unguarded_dead']);
    expect(namesAt(91).at(-1)).toBe('ended');
  });
  test('say when nobody watches', () => {
    const world = new World(0);
    world.advance(10);
    world.plugPulledFor = 20;
    expect(scenesOf({ demo: world.demo(), activity: [], lead: null, leadTwin: null }).at(-1)?.name).toBe('plug');
  });
});
