import '@testing-library/jest-dom/vitest';
import { cleanup } from '@testing-library/react';
import i18next from 'i18next';
import { initReactI18next } from 'react-i18next';
import { afterEach, beforeAll } from 'vitest';
import en from '@/locales/en.json';
import ptBR from '@/locales/pt-BR.json';

beforeAll(async () => {
  await i18next.use(initReactI18next).init({
    lng: 'en',
    fallbackLng: 'en',
    resources: { en: { translation: en }, 'pt-BR': { translation: ptBR } },
    interpolation: { escapeValue: false },
    showSupportNotice: false,
  });
});

afterEach(() => {
  cleanup();
  localStorage.clear();
  sessionStorage.clear();
});

// jsdom knows none of these; the components only need them to exist.
class NoResize {
  readonly observe = (): void => undefined;
  readonly unobserve = (): void => undefined;
  readonly disconnect = (): void => undefined;
}
const nothing = (): void => undefined;
Object.assign(globalThis, {
  ResizeObserver: NoResize,
  scrollTo: nothing,
  matchMedia: (query: string) => ({ matches: false, media: query, addEventListener: nothing, removeEventListener: nothing }),
});
Object.assign(Element.prototype, { hasPointerCapture: () => false, setPointerCapture: nothing, scrollIntoView: nothing });
