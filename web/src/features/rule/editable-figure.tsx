import { useState, type ReactNode } from 'react';
import { cn } from '@/lib/cn';

/** A figure inside a sentence that becomes an input of the same place when it is pressed. */
export function EditableFigure<T>({
  label,
  text,
  parse,
  onChange,
}: {
  label: string;
  text: string;
  parse: (text: string) => T | null;
  onChange: (value: T) => void;
}): ReactNode {
  const [typed, setTyped] = useState<string | null>(null);
  const value = typed ?? text;
  const isValid = typed === null || parse(typed) !== null;
  const commit = (): void => {
    const parsed = typed === null ? null : parse(typed);
    if (parsed !== null && typed !== text) onChange(parsed);
    setTyped(null);
  };
  return (
    <input
      aria-label={label}
      aria-invalid={!isValid}
      value={value}
      inputMode="decimal"
      onFocus={(event) => event.currentTarget.select()}
      onChange={(event) => setTyped(event.target.value)}
      onBlur={commit}
      onKeyDown={(event) => {
        if (event.key === 'Enter') event.currentTarget.blur();
        if (event.key === 'Escape' && typed !== null) {
          event.stopPropagation();
          setTyped(null);
        }
      }}
      style={{ width: `${Math.max(2, value.length) + 0.4}ch` }}
      className={cn(
        'mx-0.5 rounded-sm border-b border-dashed bg-transparent px-0.5 text-center font-semibold text-accent-text outline-offset-1 hover:bg-raised',
        isValid ? 'border-accent' : 'border-caution text-caution',
      )}
    />
  );
}
