import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import { Dashboard } from './dashboard';
import { NotFound } from './not-found';
import { Shell } from './shell';

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });
const dashboard = createRoute({ getParentRoute: () => root, path: '/', component: Dashboard });
const guard = createRoute({
  getParentRoute: () => root,
  path: '/guard',
  component: lazyRouteComponent(() => import('./guard-page'), 'GuardPage'),
});
const position = createRoute({
  getParentRoute: () => root,
  path: '/positions/$account/$trade',
  component: lazyRouteComponent(() => import('./position-page'), 'PositionPage'),
});
const activity = createRoute({
  getParentRoute: () => root,
  path: '/activity',
  component: lazyRouteComponent(() => import('./activity-page'), 'ActivityPage'),
});
const connect = createRoute({
  getParentRoute: () => root,
  path: '/connect',
  component: lazyRouteComponent(() => import('./connect-page'), 'ConnectPage'),
});
const settings = createRoute({
  getParentRoute: () => root,
  path: '/settings',
  component: lazyRouteComponent(() => import('./settings-page'), 'SettingsPage'),
});

export const router = createRouter({ routeTree: root.addChildren([dashboard, guard, position, activity, connect, settings]) });

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
