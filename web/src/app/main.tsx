import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { startTheme } from '@/lib/theme';
import { startSession } from '@/features/session/start-session';
import { App } from './app';
import { startI18n } from './i18n';
import './styles.css';

startTheme();
await startI18n();
void startSession();

const root = document.getElementById('root');
if (!root) throw new Error('The page has no root element.');
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
