import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { useEffect, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { Toaster } from 'sonner';
import { StatePanel } from '@/components/state-panel';
import { Button } from '@/components/ui/button';
import { TooltipProvider } from '@/components/ui/tooltip';
import { SignInPage } from '@/features/session/sign-in-page';
import { startSession } from '@/features/session/start-session';
import { useTheme } from '@/lib/theme';
import { useSession } from '@/stores/session';
import { router } from './router';
import { loadDemo, reportDemo, startStream } from './stream';

const queries = new QueryClient({ defaultOptions: { queries: { retry: 1, refetchOnWindowFocus: false } } });

export function App(): ReactNode {
  const theme = useTheme((state) => state.theme);
  return (
    <QueryClientProvider client={queries}>
      <TooltipProvider delayDuration={120}>
        <Gate />
        <Toaster theme={theme} position="bottom-left" offset={{ left: 72, bottom: 16 }} mobileOffset={{ bottom: 72 }} toastOptions={{ className: 'font-sans' }} />
      </TooltipProvider>
    </QueryClientProvider>
  );
}

function Gate(): ReactNode {
  const { t } = useTranslation();
  const status = useSession((state) => state.status);
  const isDemo = useSession((state) => state.user?.is_demo ?? false);
  useEffect(() => {
    if (status !== 'signed_in') return undefined;
    // A story that cannot be read leaves the page without its bar; everything else works.
    if (isDemo) loadDemo().catch(reportDemo);
    return startStream();
  }, [status, isDemo]);
  if (status === 'signed_out') return <SignInPage />;
  if (status === 'unreachable') {
    return (
      <main className="mx-auto grid min-h-dvh max-w-md place-content-center">
        <StatePanel
          tone="caution"
          title={t('unreachable.title')}
          detail={t('unreachable.detail')}
          action={<Button onClick={() => void startSession()}>{t('common.try_again')}</Button>}
        />
      </main>
    );
  }
  return <RouterProvider router={router} />;
}
