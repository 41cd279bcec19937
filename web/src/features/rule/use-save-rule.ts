/** Saving a drafted rule, and every way in which it may be refused, in words. */
import type { TFunction } from 'i18next';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { toast } from 'sonner';
import { ApiProblem, NoAnswer, call } from '@/api/client';
import { RuleDocument, type Conflict, type RuleBody } from '@/api/schema';
import { formatPrice } from '@/lib/units';
import { rulePath, useDraft, type RuleScope } from '@/stores/draft';

export interface SaveRule {
  save: (rule: RuleBody, version: number) => void;
  isPending: boolean;
  refusal: string | null;
  /** Those the server refused the last save for; null when it did not. */
  conflicts: readonly Conflict[] | null;
  accepts: boolean;
  setAccepts: (accepts: boolean) => void;
  /** An edit makes the last refusal void. */
  forget: () => void;
}

export function useSaveRule(scope: RuleScope): SaveRule {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const [refusal, setRefusal] = useState<string | null>(null);
  const [conflicts, setConflicts] = useState<readonly Conflict[] | null>(null);
  const [accepts, setAccepts] = useState(false);
  const save = useMutation({
    mutationFn: ({ rule, version }: { rule: RuleBody; version: number }) =>
      call(rulePath(scope), { method: 'PUT', body: { rule, version, ...(accepts ? { accepts_conflicts: true } : {}) }, schema: RuleDocument }),
    onSuccess: () => {
      toast(t('rule.saved'));
      useDraft.getState().close();
    },
    onError: (error) => {
      if (error instanceof ApiProblem && error.code === 'rule_conflicts' && error.problem.context?.conflicts) {
        setConflicts(error.problem.context.conflicts);
        setRefusal(null);
      } else setRefusal(refusalWords(error, t));
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['guard'] }),
  });
  return {
    save: (rule, version) => save.mutate({ rule, version }),
    isPending: save.isPending,
    refusal,
    conflicts,
    accepts,
    setAccepts,
    forget: () => {
      setRefusal(null);
      setConflicts(null);
      setAccepts(false);
    },
  };
}

export function refusalWords(error: unknown, t: TFunction): string {
  if (error instanceof NoAnswer) return t('rule.no_answer');
  if (!(error instanceof ApiProblem)) return t('rule.failed');
  const { problem } = error;
  if (error.code === 'stale_version') return t('rule.behind');
  if (error.code === 'fires_now' && problem.context?.mark_price != null) {
    return t('rule.fires_now_price', { price: formatPrice(problem.context.mark_price), last: formatPrice(problem.context.last_price) });
  }
  const fields = (problem.errors ?? []).map((each) => `${each.field}: ${each.message}`).join(' ');
  return `${t('rule.refused')} ${error.message} ${fields}`.trim();
}
