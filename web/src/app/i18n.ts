import i18next from 'i18next';
import { initReactI18next } from 'react-i18next';
import { setUnitsLocale } from '@/lib/units';
import en from '@/locales/en.json';
import ptBR from '@/locales/pt-BR.json';

const KEY = 'axisor.locale';
export const LOCALES = ['en', 'pt-BR'] as const;

/** The stored choice, else Portuguese for any Portuguese browser, else English. */
export function chooseLocale(stored: string | null, languages: readonly string[]): (typeof LOCALES)[number] {
  if (stored === 'en' || stored === 'pt-BR') return stored;
  for (const language of languages) {
    if (language.toLowerCase().startsWith('pt')) return 'pt-BR';
    if (language.toLowerCase().startsWith('en')) return 'en';
  }
  return 'en';
}

function apply(locale: string): void {
  setUnitsLocale(locale);
  document.documentElement.lang = locale;
}

export async function startI18n(): Promise<void> {
  const locale = chooseLocale(localStorage.getItem(KEY), navigator.languages);
  i18next.on('languageChanged', apply);
  await i18next.use(initReactI18next).init({
    lng: locale,
    fallbackLng: 'en',
    resources: { en: { translation: en }, 'pt-BR': { translation: ptBR } },
    interpolation: { escapeValue: false },
    showSupportNotice: false,
    returnNull: false,
  });
  apply(locale);
}

export function setLocale(locale: string): void {
  localStorage.setItem(KEY, locale);
  void i18next.changeLanguage(locale);
}
