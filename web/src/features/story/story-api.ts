import { useMutation } from '@tanstack/react-query';
import { toast } from 'sonner';
import { useTranslation } from 'react-i18next';
import { call } from '@/api/client';
import { Demo } from '@/api/schema';

export type StoryCommand =
  | { path: 'pause' | 'resume' }
  | { path: 'speed'; body: { speed: number } }
  | { path: 'play-again'; body: { scenario?: string } }
  | { path: 'pull-the-plug'; body: { seconds: number } };

/** Sends a command to the demo; its answer is the new state of the story. */
export function useStoryCommand(onDemo: (demo: Demo) => void): { run: (command: StoryCommand) => void; isPending: boolean } {
  const { t } = useTranslation();
  const mutation = useMutation({
    mutationFn: (command: StoryCommand) =>
      call(`/demo/${command.path}`, { method: 'POST', body: 'body' in command ? command.body : {}, schema: Demo }),
    onSuccess: onDemo,
    onError: () => toast.error(t('story.command_failed')),
  });
  return { run: mutation.mutate, isPending: mutation.isPending };
}

