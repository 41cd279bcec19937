import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { signOut } from '@/api/client';
import { Button } from '@/components/ui/button';
import { ToggleGroup } from '@/components/ui/toggle-group';
import { useTheme } from '@/lib/theme';
import { useSession } from '@/stores/session';
import { setLocale } from './i18n';

export function SettingsPage(): ReactNode {
  const { t, i18n } = useTranslation();
  const choice = useTheme((state) => state.choice);
  const choose = useTheme((state) => state.choose);
  const user = useSession((state) => state.user);
  return (
    <section className="mx-auto w-full max-w-xl">
      <h1 className="mb-3 text-lg font-semibold">{t('nav.settings')}</h1>
      <dl className="divide-y divide-line rounded-lg border border-line bg-card">
        <Row name={t('settings.language')}>
          <ToggleGroup
            label={t('settings.language')}
            value={i18n.language}
            onChange={setLocale}
            options={[
              { value: 'en', label: 'English' },
              { value: 'pt-BR', label: 'Português' },
            ]}
          />
        </Row>
        <Row name={t('settings.theme')}>
          <ToggleGroup
            label={t('settings.theme')}
            value={choice}
            onChange={choose}
            options={[
              { value: 'system', label: t('settings.theme_system') },
              { value: 'dark', label: t('settings.theme_dark') },
              { value: 'light', label: t('settings.theme_light') },
            ]}
          />
        </Row>
        <Row name={t('settings.signed_in_as', { name: user?.display_name ?? '' })}>
          <Button variant="outline" size="sm" onClick={() => void signOut()}>
            {t('settings.sign_out')}
          </Button>
        </Row>
      </dl>
    </section>
  );
}

function Row({ name, children }: { name: string; children: ReactNode }): ReactNode {
  return (
    <div className="flex flex-wrap items-center justify-between gap-3 px-4 py-3">
      <dt className="text-sm">{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
