import { CirclePause, Play } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Button } from '@/components/ui/button';
import { ResumeDialog } from './resume-dialog';
import { useSpending, type SpendingScope } from './use-spending';

/** One press stops what the guard spends in one scope; `of` names it for readers who do not see where the button stands. */
export function StopButton({ scope, isStopped, of }: { scope: SpendingScope; isStopped: boolean; of: string }): ReactNode {
  const { t } = useTranslation();
  const spending = useSpending();
  const [isAsking, setAsking] = useState(false);
  if (!isStopped) {
    return (
      <Button variant="outline" size="xs" disabled={spending.isBusy} onClick={() => spending.stop(scope)} aria-label={t('stop.now_of', { of })}>
        <CirclePause />
        {t('stop.now')}
      </Button>
    );
  }
  return (
    <>
      <Button variant="outline" size="xs" onClick={() => setAsking(true)} className="border-caution text-caution" aria-label={t('stop.resume_of', { of })}>
        <Play />
        {t('stop.resume')}
      </Button>
      {isAsking && (
        <ResumeDialog isBusy={spending.isBusy} onConfirm={() => spending.resume(scope, () => setAsking(false))} onDone={() => setAsking(false)} />
      )}
    </>
  );
}
