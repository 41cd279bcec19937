/** Serves the fixture story under /api/v1 inside Vite, in development and preview, so that the app runs without Axisor. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Plugin } from 'vite';
import { WebSocketServer } from 'ws';
import { World } from '../story/world';
import { answer, type Answer } from './routes';
import { Hub } from './hub';

const POLICY =
  "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  return text === '' ? {} : JSON.parse(text);
}

function send(response: ServerResponse, { status, body }: Answer): void {
  response.statusCode = status;
  response.setHeader('Content-Type', status < 400 ? 'application/json' : 'application/problem+json');
  response.end(JSON.stringify(body));
}

interface HostServer {
  httpServer: unknown;
  middlewares: { use: (handler: (request: IncomingMessage, response: ServerResponse, next: () => void) => void) => unknown };
}

function install(server: HostServer, policy: boolean): void {
  const world = new World(Date.now());
  const hub = new Hub(world);
  const sockets = new WebSocketServer({ noServer: true });
  hub.run();
  const http = server.httpServer as { on: (event: string, handler: (...args: never[]) => void) => void } | null;
  http?.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (!request.url?.startsWith('/api/v1/stream')) return;
    if (hub.faults.has('stream')) return void socket.destroy();
    sockets.handleUpgrade(request, socket, head, (client) => hub.add(client));
  });
  http?.on('close', () => hub.stop());
  server.middlewares.use((request, response, next) => {
    if (policy) response.setHeader('Content-Security-Policy', POLICY);
    const url = new URL(request.url ?? '/', 'http://fixture');
    if (!url.pathname.startsWith('/api/v1/') && !url.pathname.startsWith('/__fixture/')) { next(); return; }
    void bodyOf(request).then((body) => {
      if (hub.faults.has('hang') && url.pathname !== '/api/v1/instance' && url.pathname.startsWith('/api/')) {
        if (!url.pathname.includes('/auth/')) return;
      }
      send(response, answer({ world, hub, method: request.method ?? 'GET', url, body }));
    });
  });
}

export function fixtureApi(): Plugin {
  return {
    name: 'fixture-api',
    configureServer(server) {
      install(server, false);
    },
    configurePreviewServer(server) {
      install(server, true);
    },
  };
}
