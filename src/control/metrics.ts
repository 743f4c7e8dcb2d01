// Every metric that control gives to Prometheus: name, type, help, labels, and where its samples come from. The list makes
// what is served, docs/reference/metrics.md, and the check of the dashboard. Labels are bounded: there is none for rules,
// addresses or flows.
import { ofKind, type Document } from '../documents/index.js';
import type { Attachment, Stats } from '../engine/messages.js';
import type { FlowLogTotals } from '../flow-log/outcome.js';
import { LIMIT_REASONS } from '../shared/limit-reasons.js';
import type { StatusResult } from './api.js';

/** What samples are taken from, at one time. What the engine says is absent without one. */
export interface Snapshot {
  status: StatusResult;
  documents: readonly Document[];
  applies: Applies;
  flowLogs: FlowLogTotals;
  stats?: Stats;
  attachments?: Attachment[];
}

/** Changes of the policy since control started. */
export interface Applies {
  done: number;
  failed: number;
  seconds: number;
}

export interface Sample {
  labels: Record<string, string>;
  value: number;
  /** Of a summary. */
  part?: 'sum' | 'count';
}

export interface Metric {
  name: string;
  type: 'gauge' | 'counter' | 'summary';
  help: string;
  labels: string[];
  samples: (snapshot: Snapshot) => Sample[];
}

const one = (value: number, labels: Record<string, string> = {}): Sample[] => [{ labels, value }];
const flag = (value: boolean): Sample[] => one(value ? 1 : 0);

export const METRICS: Metric[] = [
  {
    name: 'headgate_build_info',
    type: 'gauge',
    help: 'Always 1; the versions of what runs.',
    labels: ['part', 'version'],
    samples: ({ status }) => [
      ...one(1, { part: 'control', version: status.version }),
      ...(status.engine ? one(1, { part: 'engine', version: status.engine.version }) : []),
    ],
  },
  {
    name: 'headgate_ready',
    type: 'gauge',
    help: '1 while the engine enforces the newest revision, else 0.',
    labels: [],
    samples: ({ status }) => flag(status.ready),
  },
  {
    name: 'headgate_engine_connected',
    type: 'gauge',
    help: '1 while control is connected to the engine, else 0: the metrics of the engine are then absent.',
    labels: [],
    samples: ({ status }) => flag(status.engine !== undefined),
  },
  {
    name: 'headgate_policy_revision',
    type: 'gauge',
    help: 'Number of the newest revision in the store.',
    labels: [],
    samples: ({ status }) => one(status.revision),
  },
  {
    name: 'headgate_policy_generation',
    type: 'gauge',
    help: 'Generation of the tables that the engine judges by.',
    labels: [],
    samples: ({ stats }) => (stats ? one(stats.generation) : []),
  },
  {
    name: 'headgate_policy_apply_seconds',
    type: 'summary',
    help: 'Time that changes of the policy asked of control took; those that failed are not among them.',
    labels: [],
    samples: ({ applies }) => [
      { labels: {}, part: 'sum', value: applies.seconds },
      { labels: {}, part: 'count', value: applies.done },
    ],
  },
  {
    name: 'headgate_policy_apply_failures_total',
    type: 'counter',
    help: 'Changes of the policy asked of control that were refused or failed.',
    labels: [],
    samples: ({ applies }) => one(applies.failed),
  },
  {
    name: 'headgate_documents',
    type: 'gauge',
    help: 'Documents in force, the host file among them.',
    labels: ['kind'],
    samples: ({ documents }) =>
      counted(
        'kind',
        documents.map(({ kind }) => kind),
      ),
  },
  {
    name: 'headgate_rules',
    type: 'gauge',
    help: 'Rules in force; those in mode observe are counted and logged, but deny nothing.',
    labels: ['mode'],
    samples: ({ documents }) => counted('mode', modes(documents), ['enforce', 'observe']),
  },
  {
    name: 'headgate_workloads',
    type: 'gauge',
    help: 'Workloads by how they are attached.',
    labels: ['state'],
    samples: ({ attachments }) =>
      attachments
        ? counted(
            'state',
            attachments.map(({ state }) => state),
            ['attached', 'waiting', 'failed'],
          )
        : [],
  },
  {
    name: 'headgate_connections',
    type: 'gauge',
    help: 'Connections that the engine tracks.',
    labels: [],
    samples: ({ stats }) => (stats ? one(stats.connections) : []),
  },
  {
    name: 'headgate_connections_limit',
    type: 'gauge',
    help: 'Connections that the engine has room for.',
    labels: [],
    samples: ({ stats }) => (stats ? one(stats.connectionsLimit) : []),
  },
  {
    name: 'headgate_drop_packets_total',
    type: 'counter',
    help: 'Dropped packets by reason; direction is seen from the workload.',
    labels: ['reason', 'direction'],
    samples: ({ stats }) =>
      (stats?.drops ?? []).flatMap(({ reason, direction, packets }) => one(packets, { reason, direction })),
  },
  {
    name: 'headgate_workload_packets_total',
    type: 'counter',
    help: 'Packets that a workload sent (out) and was sent (in); a super-frame counts as its segments.',
    labels: ['workload', 'direction'],
    samples: ({ stats }) =>
      (stats?.workloads ?? []).flatMap(({ workload, sentPackets, receivedPackets }) => [
        ...one(sentPackets, { workload, direction: 'out' }),
        ...one(receivedPackets, { workload, direction: 'in' }),
      ]),
  },
  {
    name: 'headgate_workload_bytes_total',
    type: 'counter',
    help: 'Bytes that a workload sent (out) and was sent (in).',
    labels: ['workload', 'direction'],
    samples: ({ stats }) =>
      (stats?.workloads ?? []).flatMap(({ workload, sentBytes, receivedBytes }) => [
        ...one(sentBytes, { workload, direction: 'out' }),
        ...one(receivedBytes, { workload, direction: 'in' }),
      ]),
  },
  {
    name: 'headgate_workload_drop_packets_total',
    type: 'counter',
    help: 'Dropped packets by workload, whatever the reason.',
    labels: ['workload'],
    samples: ({ stats }) =>
      (stats?.workloads ?? []).flatMap(({ workload, drops }) =>
        one(
          Object.values(drops).reduce((sum, packets) => sum + packets, 0),
          { workload },
        ),
      ),
  },
  {
    name: 'headgate_workload_connections',
    type: 'gauge',
    help: 'Open connections that a workload began; those that were denied or are closed are not among them.',
    labels: ['workload', 'state'],
    samples: ({ stats }) =>
      (stats?.workloads ?? []).flatMap(({ workload, connections, halfOpen }) => [
        ...one(halfOpen, { workload, state: 'unanswered' }),
        ...one(connections - halfOpen, { workload, state: 'answered' }),
      ]),
  },
  {
    name: 'headgate_workload_connections_limit',
    type: 'gauge',
    help: 'Connections that a workload may have open at once: all together, and of these the unanswered.',
    labels: ['workload', 'state'],
    samples: ({ stats }) =>
      (stats?.workloads ?? []).flatMap(({ workload, limits }) => [
        ...one(limits.halfOpen, { workload, state: 'unanswered' }),
        ...one(limits.connections, { workload, state: 'all' }),
      ]),
  },
  {
    name: 'headgate_workload_new_connections_total',
    type: 'counter',
    help: 'Connections that a workload began; those that its limits refused are not among them.',
    labels: ['workload'],
    samples: ({ stats }) =>
      (stats?.workloads ?? []).flatMap(({ workload, begun }) => one(begun, { workload })),
  },
  {
    name: 'headgate_workload_refused_connections_total',
    type: 'counter',
    help: 'Packets that would have begun a connection, refused by a limit of their workload.',
    labels: ['workload', 'reason'],
    samples: ({ stats }) =>
      (stats?.workloads ?? []).flatMap(({ workload, drops }) =>
        LIMIT_REASONS.flatMap((reason) => one(drops[reason] ?? 0, { workload, reason })),
      ),
  },
  {
    name: 'headgate_policy_flows_total',
    type: 'counter',
    help: 'New flows that the rules of a policy decided, at each end that was judged.',
    labels: ['policy'],
    samples: ({ stats }) => byPolicy(stats, 'flows'),
  },
  {
    name: 'headgate_policy_packets_total',
    type: 'counter',
    help: 'Packets of flows that the rules of a policy decided, at each end that was judged.',
    labels: ['policy'],
    samples: ({ stats }) => byPolicy(stats, 'packets'),
  },
  {
    name: 'headgate_default_flows_total',
    type: 'counter',
    help: 'New flows that no rule decided, at each end that was judged: the default action did.',
    labels: [],
    samples: ({ stats }) =>
      stats
        ? one(stats.hits.reduce((sum, { rule, flows }) => (rule === undefined ? sum + flows : sum), 0))
        : [],
  },
  {
    name: 'headgate_service_portal_up',
    type: 'gauge',
    help: '1 while a service portal works as far as is known, else 0.',
    labels: ['portal'],
    samples: ({ stats }) =>
      (stats?.portals ?? []).flatMap(({ portal, state }) =>
        one(state === 'up' || state === 'unchecked' ? 1 : 0, { portal }),
      ),
  },
  {
    name: 'headgate_service_portal_probe_failures_total',
    type: 'counter',
    help: 'Health checks of a service portal that failed.',
    labels: ['portal'],
    samples: ({ stats }) =>
      (stats?.portals ?? []).flatMap(({ portal, failures }) => one(failures, { portal })),
  },
  {
    name: 'headgate_service_packets_total',
    type: 'counter',
    help: 'Packets under a service tag that were sent to a portal and came back; on a gateway hop 0 is where clients are.',
    labels: ['tag', 'hop', 'portal', 'what'],
    samples: ({ stats }) =>
      (stats?.legs ?? []).flatMap(({ tag, hop, portal, sentPackets, returnedPackets }) => [
        ...one(sentPackets[0] + sentPackets[1], { tag, hop: String(hop), portal, what: 'sent' }),
        ...one(returnedPackets[0] + returnedPackets[1], { tag, hop: String(hop), portal, what: 'returned' }),
      ]),
  },
  {
    name: 'headgate_service_unserved_packets_total',
    type: 'counter',
    help: 'Packets under a service tag that met no working portal at a hop: they went past it, or were refused.',
    labels: ['tag', 'hop', 'what'],
    samples: ({ stats }) =>
      (stats?.legs ?? [])
        .filter((leg, i, legs) => legs.findIndex(({ tag, hop }) => tag === leg.tag && hop === leg.hop) === i)
        .flatMap(({ tag, hop, bypassedPackets, refusedPackets }) => [
          ...one(bypassedPackets, { tag, hop: String(hop), what: 'past' }),
          ...one(refusedPackets, { tag, hop: String(hop), what: 'refused' }),
        ]),
  },
  {
    name: 'headgate_flow_log_records_total',
    type: 'counter',
    help: 'Records of connections that were written as JSON lines or sent to an IPFIX collector.',
    labels: ['to'],
    samples: ({ flowLogs: { ipfix, json } }) => [
      ...one(ipfix.records, { to: 'ipfix' }),
      ...one(json.records, { to: 'json' }),
    ],
  },
  {
    name: 'headgate_flow_log_lost_total',
    type: 'counter',
    help: 'Records of connections that were lost: the engine had no room, a collector or disk did not take them.',
    labels: ['at'],
    samples: ({ flowLogs: { engine, ipfix, json } }) => [
      ...one(engine.lost, { at: 'engine' }),
      ...one(ipfix.lost, { at: 'ipfix' }),
      ...one(json.lost, { at: 'json' }),
    ],
  },
  {
    name: 'headgate_worker_batches_total',
    type: 'counter',
    help: 'Batches of frames that a packet thread took.',
    labels: ['worker'],
    samples: ({ stats }) =>
      (stats?.workers ?? []).flatMap(({ batches }, i) => one(batches, { worker: String(i) })),
  },
  {
    name: 'headgate_worker_frames_total',
    type: 'counter',
    help: 'Frames that a packet thread took.',
    labels: ['worker'],
    samples: ({ stats }) =>
      (stats?.workers ?? []).flatMap(({ frames }, i) => one(frames, { worker: String(i) })),
  },
  {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    help: 'Processor time that control has used.',
    labels: [],
    samples: () => {
      const { user, system } = process.cpuUsage();
      return one((user + system) / 1e6);
    },
  },
  {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    help: 'Memory that control holds.',
    labels: [],
    samples: () => one(process.memoryUsage.rss()),
  },
  {
    name: 'process_start_time_seconds',
    type: 'gauge',
    help: 'When control started, in seconds since 1970.',
    labels: [],
    samples: () => one(performance.timeOrigin / 1000),
  },
];

/** A sample for each value of a label; those of `always` also when there is none. */
function counted(label: string, values: readonly string[], always: readonly string[] = []): Sample[] {
  const counts = new Map(always.map((value) => [value, 0]));
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].map(([value, count]) => ({ labels: { [label]: value }, value: count }));
}

function modes(documents: readonly Document[]): string[] {
  return ofKind(documents, 'SecurityPolicy').flatMap(({ spec }) =>
    spec.rules.map((rule) => rule.mode ?? spec.mode ?? 'enforce'),
  );
}

/** Hits are counted for `policy/rule`. */
function byPolicy(stats: Stats | undefined, what: 'flows' | 'packets'): Sample[] {
  const sums = new Map<string, number>();
  for (const hit of stats?.hits ?? []) {
    const policy = hit.rule?.split('/')[0];
    if (policy !== undefined) sums.set(policy, (sums.get(policy) ?? 0) + hit[what]);
  }
  return [...sums].map(([policy, value]) => ({ labels: { policy }, value }));
}
