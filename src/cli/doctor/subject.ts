// What is looked at: the machine, and what control says of itself, its documents and its engine.
import type {
  DocumentResult,
  RevisionsResult,
  RuleResult,
  StatsResult,
  StatusResult,
} from '../../control/api.js';
import type { HostSpec } from '../../documents/host.js';
import { HeadgateError } from '../../shared/errors.js';
import { ApiClient } from '../client.js';
import type { Machine } from './machine.js';

export interface Subject {
  machine: Machine;
  runDir: string;
  now: number;
  /** Absent, as all that follows: control does not answer, and `unreachable` says why. */
  status?: StatusResult;
  unreachable?: HeadgateError;
  /** Absent without an engine. */
  stats?: StatsResult;
  workloads?: DocumentResult[];
  edgePairs?: DocumentResult[];
  segments?: DocumentResult[];
  tunnels?: DocumentResult[];
  rules?: RuleResult[];
  revisions?: RevisionsResult;
  host?: HostSpec;
}

export async function subjectOf(machine: Machine, runDir: string): Promise<Subject> {
  const client = new ApiClient(runDir);
  const subject: Subject = { machine, runDir, now: Date.now() };
  try {
    subject.status = await client.get<StatusResult>('/v1/status');
    subject.workloads = await client.get<DocumentResult[]>('/v1/documents/Workload');
    subject.edgePairs = await client.get<DocumentResult[]>('/v1/documents/EdgePair');
    subject.segments = await client.get<DocumentResult[]>('/v1/documents/Segment');
    subject.tunnels = await client.get<DocumentResult[]>('/v1/documents/Tunnel');
    subject.rules = await client.get<RuleResult[]>('/v1/rules');
    subject.revisions = await client.get<RevisionsResult>('/v1/revisions');
    const [host] = await client.get<DocumentResult[]>('/v1/documents/Host');
    subject.host = (host?.spec ?? {}) as HostSpec;
    if (subject.status.engine !== undefined) subject.stats = await client.get<StatsResult>('/v1/stats');
  } catch (error) {
    if (!(error instanceof HeadgateError)) throw error;
    // An engine that went meanwhile is what `running` says.
    if (!error.code.startsWith('engine-')) subject.unreachable = error;
  }
  return subject;
}
