// Serves the metrics, and nothing else, on a unix socket of their own: who may scrape them need not be able to change the
// policy. In the text format of Prometheus, https://prometheus.io/docs/instrumenting/exposition_formats/.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../observe/logger.js';
import { errorMessage } from '../shared/errors.js';
import type { Control } from './control.js';
import { METRICS, type Metric, type Sample, type Snapshot } from './metrics.js';
import { SocketServer } from './sockets.js';
import { ifThere } from './views.js';

export function listenMetrics(path: string, control: Control, log: Logger): Promise<SocketServer> {
  return SocketServer.listen(path, (request, response) => void serve(request, response, control, log));
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  control: Control,
  log: Logger,
): Promise<void> {
  const path = (request.url ?? '').split('?')[0];
  if (request.method !== 'GET' || path !== '/metrics') {
    answer(response, 404, 'There is only GET /metrics here.\n');
    return;
  }
  try {
    answer(response, 200, textOf(await snapshot(control)));
  } catch (error) {
    log.error({ err: error }, 'metrics');
    answer(response, 500, `Control failed: ${errorMessage(error)}\n`);
  }
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' });
  response.end(text);
}

async function snapshot(control: Control): Promise<Snapshot> {
  const [stats, attachments] = await Promise.all([
    ifThere(control.ask('stats', {})),
    ifThere(control.ask('attachments', {})),
  ]);
  return {
    status: control.status(),
    documents: control.documents,
    applies: control.applies,
    flowLogs: control.flowLogs,
    ...(stats && { stats }),
    ...(attachments && { attachments }),
  };
}

function textOf(snapshot: Snapshot): string {
  return METRICS.map((metric) => {
    const lines = metric.samples(snapshot).map((sample) => lineOf(metric, sample));
    if (lines.length === 0) return '';
    const { name, type, help } = metric;
    return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
  }).join('');
}

function lineOf({ name }: Metric, { labels, value, part }: Sample): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escape(text)}"`);
  const inBraces = pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
  return `${name}${part === undefined ? '' : `_${part}`}${inBraces} ${value}\n`;
}

function escape(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
