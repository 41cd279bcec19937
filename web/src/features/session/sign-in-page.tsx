import { useState, type SyntheticEvent, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { ApiProblem, NoAnswer, signIn } from '@/api/client';
import { Button } from '@/components/ui/button';
import { Input } from '@/components/ui/input';
import { useSession } from '@/stores/session';

export function SignInPage(): ReactNode {
  const { t } = useTranslation();
  const startRefusal = useSession((state) => state.refusal);
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [refusal, setRefusal] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    setBusy(true);
    setRefusal(null);
    signIn(email, password)
      .catch((error: unknown) => {
        if (error instanceof NoAnswer) setRefusal(t('sign_in.no_answer'));
        else if (error instanceof ApiProblem && error.status === 429) setRefusal(t('sign_in.slow_down'));
        else setRefusal(t('sign_in.refused'));
      })
      .finally(() => setBusy(false));
  };
  return (
    <main className="mx-auto flex min-h-dvh w-full max-w-sm flex-col justify-center gap-6 px-6">
      <div>
        <h1 className="text-2xl font-semibold tracking-tight">Axisor</h1>
        <p className="mt-1 text-muted">{t('sign_in.tagline')}</p>
      </div>
      {startRefusal && (
        <p role="alert" className="rounded-md border border-caution/60 bg-caution/10 px-3 py-2">
          {t('sign_in.link_used')}
        </p>
      )}
      <form onSubmit={submit} className="flex flex-col gap-4">
        <label className="flex flex-col gap-1 text-xs font-medium text-muted">
          {t('sign_in.email')}
          <Input type="email" autoComplete="username" required value={email} onChange={(event) => setEmail(event.target.value)} />
        </label>
        <label className="flex flex-col gap-1 text-xs font-medium text-muted">
          {t('sign_in.password')}
          <Input type="password" autoComplete="current-password" required value={password} onChange={(event) => setPassword(event.target.value)} />
        </label>
        {refusal && (
          <p role="alert" className="text-caution">
            {refusal}
          </p>
        )}
        <Button type="submit" disabled={isBusy}>
          {isBusy ? t('sign_in.busy') : t('sign_in.submit')}
        </Button>
      </form>
      <p className="text-xs text-faint">{t('sign_in.link_hint')}</p>
    </main>
  );
}
