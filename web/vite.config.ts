import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, gzip } from 'node:zlib';
import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

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

/** Writes .br and .gz beside every text file of the build; the servers send them as they are. */
function precompress(): Plugin {
  return {
    name: 'precompress',
    apply: 'build',
    async writeBundle(options, bundle) {
      const folder = options.dir ?? 'dist';
      const names = Object.keys(bundle).filter((name) => /\.(js|css|html|svg|json)$/.test(name));
      await Promise.all(
        names.map(async (name) => {
          const file = path.join(folder, name);
          const raw = await readFile(file);
          if (raw.length < 1024) return;
          await writeFile(`${file}.br`, await promisify(brotliCompress)(raw));
          await writeFile(`${file}.gz`, await promisify(gzip)(raw, { level: 9 }));
        }),
      );
    },
  };
}

async function fixture(): Promise<Plugin> {
  const { fixtureApi } = await import('./src/testing/server/plugin');
  return fixtureApi();
}

export default defineConfig(({ mode }) => ({
  plugins: [sonnerWithoutStyleTag(), react(), tailwindcss(), precompress(), ...(mode === 'fixture' ? [fixture()] : [])],
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
    // The first chunk stays under 350 KB gzipped; the chart comes after it.
    chunkSizeWarningLimit: 800,
  },
}));
