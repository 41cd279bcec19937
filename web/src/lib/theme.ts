import { create } from 'zustand';

export type ThemeChoice = 'system' | 'dark' | 'light';
const KEY = 'axisor.theme';

function stored(): ThemeChoice {
  const value = localStorage.getItem(KEY);
  return value === 'dark' || value === 'light' ? value : 'system';
}

function resolve(choice: ThemeChoice): 'dark' | 'light' {
  if (choice !== 'system') return choice;
  return matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark';
}

interface ThemeState {
  choice: ThemeChoice;
  theme: 'dark' | 'light';
  choose: (choice: ThemeChoice) => void;
}

export const useTheme = create<ThemeState>((set) => ({
  choice: 'system',
  theme: 'dark',
  choose: (choice) => {
    if (choice === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, choice);
    apply(choice, set);
  },
}));

function apply(choice: ThemeChoice, set: (state: Partial<ThemeState>) => void): void {
  const theme = resolve(choice);
  document.documentElement.dataset.theme = theme;
  set({ choice, theme });
}

/** Applies the stored choice and follows the system from then on. */
export function startTheme(): void {
  apply(stored(), useTheme.setState);
  matchMedia('(prefers-color-scheme: light)').addEventListener('change', () => {
    apply(useTheme.getState().choice, useTheme.setState);
  });
}
