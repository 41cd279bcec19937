import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { StatePanel } from '@/components/state-panel';
import { Button } from '@/components/ui/button';

export function NotFound(): ReactNode {
  const { t } = useTranslation();
  return (
    <StatePanel
      title={t('not_found.title')}
      action={
        <Button asChild variant="outline">
          <Link to="/">{t('not_found.back')}</Link>
        </Button>
      }
    />
  );
}
