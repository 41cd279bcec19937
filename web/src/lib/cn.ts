import { clsx, type ClassValue } from 'clsx';
import { extendTailwindMerge } from 'tailwind-merge';

const merge = extendTailwindMerge({ extend: { classGroups: { 'font-size': [{ text: ['2xs'] }] } } });

/** Joins class names; the later of two that conflict wins. */
export function cn(...inputs: ClassValue[]): string {
  return merge(clsx(inputs));
}
