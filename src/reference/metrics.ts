// docs/reference/metrics.md: every metric with its type, labels and help.
import { METRICS } from '../control/metrics.js';
import { GENERATED, table } from './markdown.js';

export function metricsMarkdown(): string {
  const rows = METRICS.map(({ name, type, labels, help }) => [
    name,
    type,
    labels.map((label) => `\`${label}\``).join(' '),
    help,
  ]);
  return `${[
    GENERATED,
    '# Metrics',
    `Control serves them on the unix socket \`metrics.sock\` in the run directory, which its group may open, in the text format
of Prometheus:`,
    '    curl --unix-socket /run/headgate/metrics.sock http://localhost/metrics',
    `[examples/monitoring](../../examples/monitoring/README.md) has units that put it on a TCP port, and a dashboard for Grafana.
Counters of the engine begin at 0 when the engine starts; without an engine its metrics are absent.`,
    table(['name', 'type', 'labels', 'what'], rows),
    'The reasons of drops are those of [docs/architecture.md](../architecture.md#drop-reasons).',
  ].join('\n\n')}\n`;
}
