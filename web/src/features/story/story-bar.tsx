import { Pause, Play, PlugZap, RotateCcw, Shuffle } from 'lucide-react';
import { useEffect, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Demo, Trade } from '@/api/schema';
import { Button } from '@/components/ui/button';
import { ToggleGroup } from '@/components/ui/toggle-group';
import {
  DropdownMenu,
  DropdownMenuContent,
  DropdownMenuItem,
  DropdownMenuLabel,
  DropdownMenuTrigger,
} from '@/components/ui/dropdown-menu';
import { wordsOf } from '@/lib/activity-words';
import { formatClock, formatDuration } from '@/lib/units';
import { useActivity } from '@/stores/activity';
import { scenesOf, type Scene } from './scene';
import type { StoryCommand } from './story-api';

const PLUG_SECONDS = 20;

/** The story's caption and its controls; arrow keys read earlier captions again. */
export function StoryBar({
  demo,
  lead,
  leadTwin,
  run,
  isPending,
}: {
  demo: Demo;
  lead: Trade | null;
  leadTwin: Trade | null;
  run: (command: StoryCommand) => void;
  isPending: boolean;
}): ReactNode {
  const { t } = useTranslation();
  return (
    <section className="flex flex-wrap items-center gap-x-4 gap-y-2 rounded-lg border border-line bg-card px-3 py-2" aria-label={t('story.title')}>
      <Caption demo={demo} lead={lead} leadTwin={leadTwin} />
      <div className="flex flex-wrap items-center gap-1.5">
        <Button
          variant="outline"
          size="sm"
          disabled={isPending || !['running', 'paused'].includes(demo.status)}
          onClick={() => run({ path: demo.status === 'paused' ? 'resume' : 'pause' })}
          aria-label={t(demo.status === 'paused' ? 'story.resume' : 'story.pause')}
        >
          {demo.status === 'paused' ? <Play /> : <Pause />}
        </Button>
        <ToggleGroup
          label={t('story.speed')}
          value={demo.speed >= 4 ? '4' : '1'}
          onChange={(value) => run({ path: 'speed', body: { speed: Number(value) } })}
          options={[
            { value: '1', label: '1x' },
            { value: '4', label: '4x' },
          ]}
        />
        <Button variant="outline" size="sm" disabled={isPending} onClick={() => run({ path: 'play-again', body: {} })} aria-label={t('story.play_again')}>
          <RotateCcw /> <span className="hidden md:inline">{t('story.play_again')}</span>
        </Button>
        <OtherMarket demo={demo} run={run} />
        <Button
          variant="outline"
          size="sm"
          disabled={isPending || demo.plug.is_pulled}
          onClick={() => run({ path: 'pull-the-plug', body: { seconds: PLUG_SECONDS } })}
          title={t('story.plug_hint')}
          aria-label={t('story.plug')}
        >
          <PlugZap />
          <span className="hidden md:inline">
            {demo.plug.is_pulled ? t('story.plug_back', { age: formatDuration(demo.plug.seconds_left ?? 0) }) : t('story.plug')}
          </span>
        </Button>
      </div>
    </section>
  );
}

export function OtherMarket({ demo, run }: { demo: Demo; run: (command: StoryCommand) => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <DropdownMenu>
      <DropdownMenuTrigger asChild>
        <Button variant="outline" size="sm" aria-label={t('story.other_market')}>
          <Shuffle className="md:hidden" />
          <span className="hidden md:inline">{t('story.other_market')}</span>
        </Button>
      </DropdownMenuTrigger>
      <DropdownMenuContent className="max-w-80">
        <DropdownMenuLabel>{t('story.markets')}</DropdownMenuLabel>
        {demo.scenarios.map((scenario) => (
          <DropdownMenuItem
            key={scenario.name}
            onSelect={() => run({ path: 'play-again', body: { scenario: scenario.name } })}
            className="flex-col items-start gap-0"
          >
            <span className="font-medium">{t(`scenario.${scenario.name}.name`, { defaultValue: scenario.name })}</span>
            <span className="text-xs text-muted">{t(`scenario.${scenario.name}.story`, { defaultValue: scenario.story })}</span>
          </DropdownMenuItem>
        ))}
      </DropdownMenuContent>
    </DropdownMenu>
  );
}

function Caption({ demo, lead, leadTwin }: { demo: Demo; lead: Trade | null; leadTwin: Trade | null }): ReactNode {
  const { t } = useTranslation();
  const activity = useActivity((state) => state.items);
  const scenes = scenesOf({ demo, activity, lead, leadTwin });
  const count = scenes.length;
  // Reading back ends by itself when a new scene begins: the number of scenes then is kept beside the steps.
  const [reading, setReading] = useState({ back: 0, of: count });
  const back = reading.of === count ? reading.back : 0;
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const isTyping = event.target instanceof HTMLElement && event.target.closest('input, [role="slider"], [role="menu"], [role="radiogroup"], [role="group"] [role="radio"]');
      if (isTyping || event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === 'ArrowLeft') setReading({ back: Math.min(count - 1, back + 1), of: count });
      if (event.key === 'ArrowRight') setReading({ back: Math.max(0, back - 1), of: count });
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [count, back]);
  const scene = scenes[Math.max(0, count - 1 - back)];
  return (
    <p className="min-h-10 min-w-60 flex-1 content-center text-[0.9375rem] leading-5" aria-live="polite" data-testid="caption">
      {scene && <span key={scene.name} className="animate-fade-in">{captionOf(scene, t)}</span>}
    </p>
  );
}

function captionOf(scene: Scene, t: ReturnType<typeof useTranslation>['t']): string {
  const cause = scene.cause;
  return t(`story.scene.${scene.name}`, { ...(cause ? wordsOf(cause.data, t) : {}), at: cause ? formatClock(cause.at).slice(0, 5) : '' });
}
