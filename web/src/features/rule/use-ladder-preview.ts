/** Keeps the preview of the draft up to date: one request on the way at a time, the newest draft next. */
import { useEffect, useRef, useState } from 'react';
import { call } from '@/api/client';
import { LadderPreview, type RuleBody } from '@/api/schema';
import { isSameScope, rulePath, useDraft, type RuleScope } from '@/stores/draft';

/** Whether the scope is a position, whose price path can be walked. */
export function hasPath(scope: RuleScope): boolean {
  return scope.kind === 'trade' || scope.kind === 'cross';
}

export function useLadderPreview(scope: RuleScope, body: RuleBody | null): { isFailing: boolean } {
  const accept = useDraft((state) => state.acceptPreview);
  const isOnWay = useRef(false);
  const waiting = useRef<RuleBody | null>(null);
  const [isFailing, setFailing] = useState(false);
  useEffect(() => {
    if (body === null || !hasPath(scope)) return;
    waiting.current = body;
    const next = async (): Promise<void> => {
      if (isOnWay.current) return;
      isOnWay.current = true;
      try {
        while (waiting.current) {
          const rule = waiting.current;
          waiting.current = null;
          const preview = await call(`${rulePath(scope)}/preview`, { method: 'POST', body: { rule }, schema: LadderPreview });
          if (isSameScope(useDraft.getState().scope, scope)) accept(preview);
          setFailing(false);
        }
      } catch {
        setFailing(true);
      } finally {
        isOnWay.current = false;
      }
    };
    void next();
  }, [scope, body, accept]);
  return { isFailing };
}
