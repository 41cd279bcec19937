import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Button } from '@/components/ui/button';
import { Dialog, DialogContent, DialogDescription, DialogFooter, DialogTitle } from '@/components/ui/dialog';

/** Starting to spend again asks first; stopping never does. */
export function ResumeDialog({ isBusy, onConfirm, onDone }: { isBusy: boolean; onConfirm: () => void; onDone: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <Dialog open onOpenChange={(isOpen) => !isOpen && onDone()}>
      <DialogContent>
        <DialogTitle>{t('stop.resume_title')}</DialogTitle>
        <DialogDescription>{t('stop.resume_text')}</DialogDescription>
        <DialogFooter>
          <Button variant="outline" onClick={onDone}>
            {t('common.cancel')}
          </Button>
          <Button disabled={isBusy} onClick={onConfirm}>
            {t('stop.resume_confirm')}
          </Button>
        </DialogFooter>
      </DialogContent>
    </Dialog>
  );
}
