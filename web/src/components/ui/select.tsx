import type { ReactNode } from 'react';
import { cn } from '@/lib/cn';

export interface SelectOption<T extends string> {
  value: T;
  label: string;
}

/** The platform's own list: it opens as the phone's picker and follows the keyboard as people know it. */
export function Select<T extends string>({
  value,
  onChange,
  options,
  label,
  disabled = false,
  className,
}: {
  value: T;
  onChange: (value: T) => void;
  options: readonly SelectOption<T>[];
  label: string;
  disabled?: boolean;
  className?: string;
}): ReactNode {
  return (
    <select
      data-slot="select"
      aria-label={label}
      value={value}
      disabled={disabled}
      onChange={(event) => onChange(event.target.value as T)}
      className={cn('h-8 max-w-full min-w-0 rounded-md border border-line bg-surface px-2 text-sm text-text disabled:opacity-50', className)}
    >
      {options.map((option) => (
        <option key={option.value} value={option.value}>
          {option.label}
        </option>
      ))}
    </select>
  );
}
