import { Check, CircleHelp, Loader, X } from 'lucide-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Button } from '@/components/ui/button';
import { cn } from '@/lib/cn';
import { formatClock } from '@/lib/units';
import type { Command } from '@/lib/use-command';

/** Where a command stands, in words; unknown is said to be unknown. */
export function RequestStatus({ command }: { command: Command }): ReactNode {
  const { t } = useTranslation();
  const { state } = command;
  if (state.kind === 'idle') return null;
  if (state.kind === 'asking') return <Line icon={Loader} text={t('request.asking')} />;
  if (state.kind === 'refused') return <Line icon={X} tone="caution" text={t('request.refused', { detail: state.detail })} />;
  if (state.kind === 'no_answer') {
    return (
      <div className="mt-4">
        <Line icon={CircleHelp} tone="caution" text={t('request.no_answer')} />
        <Button size="sm" variant="outline" className="mt-2" onClick={command.ask}>
          {t('request.ask_again')}
        </Button>
      </div>
    );
  }
  const { request, isReadable } = state;
  // A detail is a sentence, or a code of the exchange's answer; a code without words is left to the list of decisions.
  const isCode = request.detail !== null && /^[a-z0-9_]+$/.test(request.detail);
  const detail = isCode ? t(`words.reason.${request.detail ?? ''}`, { defaultValue: '' }) : request.detail;
  const values = { since: formatClock(request.created_at), detail: '' };
  const tone = request.status === 'confirmed' ? 'good' : ['requested', 'sent'].includes(request.status) ? 'neutral' : 'caution';
  const icon = request.status === 'confirmed' ? Check : request.status === 'unknown' ? CircleHelp : tone === 'neutral' ? Loader : X;
  return (
    <>
      <Line icon={icon} tone={tone} text={t(`request.${request.status}`, values)} detail={detail} />
      {!isReadable && <Line icon={CircleHelp} tone="caution" text={t('request.unreadable')} />}
    </>
  );
}

function Line({
  icon: Icon,
  text,
  detail,
  tone = 'neutral',
}: {
  icon: typeof Check;
  text: string;
  detail?: string | null;
  tone?: 'neutral' | 'good' | 'caution';
}): ReactNode {
  return (
    <p role="status" className={cn('mt-4 flex gap-2 text-sm', tone === 'caution' ? 'text-caution' : tone === 'good' ? 'text-profit' : 'text-muted')}>
      <Icon aria-hidden className="mt-0.5 size-4 shrink-0" />
      <span>
        {text}
        {detail && <span className="block text-muted">{detail}</span>}
      </span>
    </p>
  );
}
