import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider, createMemoryHistory, createRootRoute, createRoute, createRouter } from '@tanstack/react-router';
import { render, type RenderResult } from '@testing-library/react';
import type { ReactNode } from 'react';
import { TooltipProvider } from '@/components/ui/tooltip';

/** Renders with what every page stands in. */
export function renderPage(node: ReactNode): RenderResult {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  return render(
    <QueryClientProvider client={client}>
      <TooltipProvider>{node}</TooltipProvider>
    </QueryClientProvider>,
  );
}

/** The same for what holds links, at an address of its own. */
export function renderRouted(node: ReactNode): RenderResult {
  const root = createRootRoute();
  const here = createRoute({ getParentRoute: () => root, path: '/', component: () => node });
  const position = createRoute({ getParentRoute: () => root, path: '/positions/$account/$trade', component: () => null });
  const router = createRouter({ routeTree: root.addChildren([here, position]), history: createMemoryHistory({ initialEntries: ['/'] }) });
  return renderPage(<RouterProvider router={router as never} />);
}
