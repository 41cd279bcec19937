/** Keeps the preview of the draft up to date: one request on the way at a time, the newest draft next. */
import { useEffect, useRef, useState } from 'react';
import { call } from '@/api/client';
import { Preview, type RuleChange } from '@/api/schema';
import { useView } from '@/stores/view';

export function useRulePreview(): { isFailing: boolean } {
  const draft = useView((state) => state.draft);
  const accept = useView((state) => state.acceptPreview);
  const isOnWay = useRef(false);
  const waiting = useRef<{ path: string; tradeId: string; change: RuleChange } | null>(null);
  const [isFailing, setFailing] = useState(false);
  const accountId = draft?.accountId;
  const tradeId = draft?.tradeId;
  const change = draft?.change;
  useEffect(() => {
    if (!accountId || !tradeId || !change) return;
    waiting.current = { path: `/accounts/${accountId}/trades/${tradeId}/rule/preview`, tradeId, change };
    const next = async (): Promise<void> => {
      if (isOnWay.current) return;
      isOnWay.current = true;
      try {
        while (waiting.current) {
          const asked = waiting.current;
          waiting.current = null;
          const preview = await call(asked.path, { method: 'POST', body: asked.change, schema: Preview });
          accept(asked.tradeId, preview);
          setFailing(false);
        }
      } catch {
        setFailing(true);
      } finally {
        isOnWay.current = false;
      }
    };
    void next();
  }, [accountId, tradeId, change, accept]);
  return { isFailing };
}
