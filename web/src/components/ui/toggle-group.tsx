import { ToggleGroup as Primitive } from 'radix-ui';
import type { ReactNode } from 'react';
import { cn } from '@/lib/cn';

export function ToggleGroup<T extends string>({
  value,
  onChange,
  options,
  label,
  className,
}: {
  value: T;
  onChange: (value: T) => void;
  options: readonly { value: T; label: ReactNode }[];
  label: string;
  className?: string;
}): ReactNode {
  return (
    <Primitive.Root
      type="single"
      value={value}
      aria-label={label}
      onValueChange={(next) => {
        if (next !== '') onChange(next as T);
      }}
      className={cn('inline-flex rounded-md border border-line bg-surface p-0.5', className)}
    >
      {options.map((option) => (
        <Primitive.Item
          key={option.value}
          value={option.value}
          className="h-7 flex-1 rounded-[5px] px-2.5 text-xs font-medium whitespace-nowrap text-muted data-[state=on]:bg-raised data-[state=on]:text-text"
        >
          {option.label}
        </Primitive.Item>
      ))}
    </Primitive.Root>
  );
}
