import { fileURLToPath } from 'node:url';
import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';
import { fixtureApi } from './src/testing/server/plugin';

/** Sonner writes a style tag at import, which the content security policy forbids; its CSS file is imported instead. */
function sonnerWithoutStyleTag(): Plugin {
  return {
    name: 'sonner-without-style-tag',
    enforce: 'pre',
    transform(code, id) {
      if (!/[\\/]sonner[\\/]dist[\\/]index\.mjs/.test(id)) return null;
      return { code: code.replace(/^__insertCSS\(.*\);?$/m, ''), map: null };
    },
  };
}

export default defineConfig(({ mode }) => ({
  plugins: [sonnerWithoutStyleTag(), react(), tailwindcss(), ...(mode === 'fixture' ? [fixtureApi()] : [])],
  resolve: {
    alias: {
      '@': fileURLToPath(new URL('./src', import.meta.url)),
      // The scroll lock inside Radix dialogs writes style tags; ours sets one class (same policy as above).
      'react-remove-scroll': fileURLToPath(new URL('./src/lib/scroll-lock.tsx', import.meta.url)),
    },
  },
  optimizeDeps: { exclude: ['sonner'] },
  server: {
    host: '127.0.0.1',
    ...(mode === 'fixture'
      ? {}
      : { proxy: { '/api': { target: process.env.AXISOR_API_URL ?? 'http://127.0.0.1:8000', ws: true, changeOrigin: true } } }),
  },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
}));
