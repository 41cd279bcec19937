/** Why something was done about a trade or a cross position, and why nothing happens now. */
import { keepPreviousData, useQuery, type UseQueryResult } from '@tanstack/react-query';
import { call } from '@/api/client';
import { WhyNot, WhyPage } from '@/api/schema';

const READ_MS = 5_000;

/** `of`: the path of a trade or of a cross position. */
export function useWhyNot(of: string, marginSats: number, isRunning: boolean): UseQueryResult<WhyNot> {
  const path = `${of}/why-not`;
  return useQuery({
    queryKey: ['guard', 'why-not', path, marginSats],
    enabled: isRunning,
    queryFn: ({ signal }) => call(path, { schema: WhyNot, signal }),
    refetchInterval: READ_MS,
    placeholderData: keepPreviousData,
  });
}

/** `of`: the path of a trade or of a cross position; `news`: anything that changes when something happened to it. */
export function useWhy(of: string, cursor: string | null, news: string): UseQueryResult<WhyPage> {
  const path = `${of}/why${cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`}`;
  return useQuery({
    queryKey: ['guard', 'why', path, news],
    queryFn: ({ signal }) => call(path, { schema: WhyPage, signal }),
    placeholderData: keepPreviousData,
  });
}
