import { Link, Outlet } from '@tanstack/react-router';
import { Activity, ChevronsLeft, ChevronsRight, KeyRound, LayoutDashboard, Settings, Shield, type LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { DecisionDrawer } from '@/features/activity/decision-drawer';
import { RuleSheet } from '@/features/rule/rule-sheet';
import { WatchBanner } from '@/features/guard/watch-banner';
import { cn } from '@/lib/cn';
import { useDraft } from '@/stores/draft';
import { useView } from '@/stores/view';
import { TopBar } from './top-bar';

const PLACES = [
  { to: '/', name: 'nav.trades', icon: LayoutDashboard },
  { to: '/guard', name: 'nav.guard', icon: Shield },
  { to: '/activity', name: 'nav.activity', icon: Activity },
  { to: '/connect', name: 'nav.connect', icon: KeyRound },
  { to: '/settings', name: 'nav.settings', icon: Settings },
] as const;

export function Shell(): ReactNode {
  const { t } = useTranslation();
  const isOpen = useView((state) => state.isRailOpen);
  const hasDraft = useDraft((state) => state.scope !== null);
  return (
    <div className="flex min-h-dvh">
      <a href="#content" className="sr-only z-60 rounded bg-card px-3 py-2 focus:not-sr-only focus:fixed focus:top-2 focus:left-2">
        {t('nav.skip')}
      </a>
      <Rail isOpen={isOpen} />
      <div className="flex min-w-0 flex-1 flex-col pb-16 md:pb-0">
        <TopBar />
        <main
          id="content"
          className={cn('mx-auto flex w-full max-w-[1720px] flex-1 flex-col gap-3 p-3', hasDraft && 'pb-[56dvh] md:pb-3 xl:pr-[27.25rem]')}
        >
          <WatchBanner />
          <Outlet />
        </main>
      </div>
      <BottomBar />
      <DecisionDrawer />
      <RuleSheet />
    </div>
  );
}

function Rail({ isOpen }: { isOpen: boolean }): ReactNode {
  const { t } = useTranslation();
  const toggle = useView((state) => state.toggleRail);
  const Chevron = isOpen ? ChevronsLeft : ChevronsRight;
  return (
    <nav
      aria-label={t('nav.label')}
      className={cn('sticky top-0 hidden h-dvh shrink-0 flex-col gap-1 border-r border-line bg-card p-2 md:flex', isOpen ? 'w-48' : 'w-14')}
    >
      <div className="mb-2 flex h-9 items-center gap-2.5 px-1.5">
        <img src="/favicon.svg" alt="" className="size-7" />
        {isOpen && <span className="text-base font-semibold tracking-tight">Axisor</span>}
      </div>
      {PLACES.map((place) => (
        <RailLink key={place.to} {...place} isOpen={isOpen} />
      ))}
      <button
        type="button"
        onClick={toggle}
        aria-label={t(isOpen ? 'nav.collapse' : 'nav.expand')}
        className="mt-auto grid h-9 place-items-center rounded-md text-faint hover:bg-raised hover:text-text"
      >
        <Chevron className="size-4" />
      </button>
    </nav>
  );
}

function RailLink({ to, name, icon: Icon, isOpen }: { to: string; name: string; icon: LucideIcon; isOpen: boolean }): ReactNode {
  const { t } = useTranslation();
  const label = t(name);
  return (
    <Link
      to={to}
      title={label}
      aria-label={label}
      className="flex h-9 items-center gap-2.5 rounded-md px-2.5 text-sm text-muted hover:bg-raised hover:text-text"
      activeProps={{ className: 'bg-raised !text-text font-medium' }}
      activeOptions={{ exact: true }}
    >
      <Icon aria-hidden className="size-4.5 shrink-0" />
      {isOpen && label}
    </Link>
  );
}

function BottomBar(): ReactNode {
  const { t } = useTranslation();
  return (
    <nav
      aria-label={t('nav.label')}
      className="fixed inset-x-0 bottom-0 z-30 grid grid-cols-5 border-t border-line bg-card pb-[env(safe-area-inset-bottom)] md:hidden"
    >
      {PLACES.map(({ to, name, icon: Icon }) => (
        <Link
          key={to}
          to={to}
          className="flex h-14 flex-col items-center justify-center gap-0.5 text-2xs text-faint"
          activeProps={{ className: '!text-text font-medium' }}
          activeOptions={{ exact: true }}
        >
          <Icon aria-hidden className="size-5" />
          {t(name)}
        </Link>
      ))}
    </nav>
  );
}
