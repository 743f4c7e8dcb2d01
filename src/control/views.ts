// Answers about what is in force: documents with their state, rules with their hits, flows and counters. The engine
// knows rules by the ids that people do, `policy/rule`.
import {
  edgePlace,
  ofKind,
  plain,
  protocolName,
  SIDES,
  type Document,
  type Kind,
  type SecurityPolicyDocument,
} from '../documents/index.js';
import type { Desired } from '../policy/index.js';
import { errorCode } from '../shared/errors.js';
import { hitsByRule, type Hits } from '../shared/hits.js';
import type { Attachment, Stats } from '../engine/messages.js';
import type { DocumentResult, FlowResult, FlowsResult, RuleResult, StatsResult } from './api.js';
import type { Control } from './control.js';
import { unknownDocument } from './control.js';

/** How a verdict by the default action is called where a rule's id would stand. */
export const DEFAULT_RULE = 'default';

export async function documents(control: Control, kind: Kind, name?: string): Promise<DocumentResult[]> {
  const found = control.documents.filter(
    (document) => document.kind === kind && (name === undefined || document.metadata.name === name),
  );
  if (name !== undefined && found.length === 0) throw unknownDocument(kind, name);
  const isAttached = kind === 'Workload' || kind === 'EdgePair';
  const attachments = isAttached ? await attachmentsByName(control) : new Map<string, Attachment>();
  const results = found.map((document) => toResult(document, attachmentOf(document, attachments)));
  if (kind !== 'ServicePortal' && kind !== 'ServiceTag') return results;
  const stats = await ifThere(control.ask('stats', {}));
  return stats === undefined ? results : results.map((one) => withCounters(one, stats));
}

/** Of an edge pair that of the interface that nothing can pass for, with its side. */
function attachmentOf(document: Document, all: ReadonlyMap<string, Attachment>): Attachment | undefined {
  const { kind, metadata } = document;
  if (kind !== 'EdgePair') return all.get(metadata.name);
  const sides = SIDES.map((side) => ({ side, attachment: all.get(edgePlace(metadata.name, side)) }));
  const worst = sides.find(({ attachment }) => attachment?.state !== 'attached') ?? sides[0];
  if (!worst?.attachment) return undefined;
  const { detail } = worst.attachment;
  return { ...worst.attachment, ...(detail !== undefined && { detail: `${worst.side}: ${detail}` }) };
}

/** A service portal or tag with what the engine says of it. */
function withCounters(result: DocumentResult, { portals, legs }: Stats): DocumentResult {
  const { name } = result.metadata;
  if (result.kind === 'ServiceTag') return { ...result, legs: legs.filter(({ tag }) => tag === name) };
  const found = portals.find(({ portal }) => portal === name);
  if (found === undefined) return result;
  const { portal: _, ...health } = found;
  return { ...result, health, legs: legs.filter(({ portal }) => portal === name) };
}

function toResult(document: Document, attachment: Attachment | undefined): DocumentResult {
  const { file, line } = document.origin;
  const result = { ...plain(document), origin: { file, line } } as DocumentResult;
  if (attachment === undefined) return result;
  const { state, detail, mac } = attachment;
  const status = {
    state,
    ...(detail === undefined ? {} : { detail }),
    ...(mac === undefined ? {} : { mac }),
  };
  return { ...result, status };
}

/** What the engine says; undefined while there is none: documents are then shown without state and hits. */
export async function ifThere<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (errorCode(error).startsWith('engine-')) return undefined;
    throw error;
  }
}

async function attachmentsByName(control: Control): Promise<Map<string, Attachment>> {
  const attachments = (await ifThere(control.ask('attachments', {}))) ?? [];
  return new Map(attachments.map((attachment) => [attachment.workload, attachment]));
}

export async function rules(control: Control, name?: string): Promise<RuleResult[]> {
  const stats = await ifThere(control.ask('stats', {}));
  const hits = stats === undefined ? undefined : hitsByRule(stats.hits);
  const { desired } = control.lowered;
  const policies = ofKind(control.documents, 'SecurityPolicy');
  return policies
    .flatMap((policy) => rulesOf(policy, desired, hits))
    .filter((rule) => name === undefined || rule.id === name || rule.policy === name);
}

function rulesOf(
  policy: SecurityPolicyDocument,
  { policies, scopes }: Desired,
  hits: Map<string, Hits> | undefined,
): RuleResult[] {
  const { spec, metadata, origin } = policy;
  const lowered = policies.get(metadata.name)?.policy.rules;
  return spec.rules.map((rule, i) => {
    const { id = '', scope = '' } = lowered?.[i]?.entry ?? {};
    return {
      id,
      policy: metadata.name,
      position: i + 1,
      category: spec.category ?? 'application',
      priority: spec.priority ?? 1000,
      direction: rule.direction ?? 'both',
      action: rule.action,
      mode: rule.mode ?? spec.mode ?? 'enforce',
      log: rule.log ?? false,
      workloads: scopes.get(scope)?.workloads.size ?? 0,
      ...(hits === undefined ? {} : { hits: hits.get(id) ?? { flows: 0, packets: 0, bytes: 0 } }),
      file: origin.file,
      line: origin.rules?.[i] ?? origin.line,
    };
  });
}

export interface FlowFilter {
  limit: number;
  workload?: string;
  denied: boolean;
}

/** Most flows that are looked through when only some are wanted. */
const MOST_FLOWS = 100_000;

export async function flows(control: Control, { limit, workload, denied }: FlowFilter): Promise<FlowsResult> {
  const wanted = workload === undefined && !denied ? limit : MOST_FLOWS;
  const { flows: found, total } = await control.ask('flows', { limit: wanted, denied: true });
  const shown = found
    .filter(
      (flow) => workload === undefined || flow.verdicts.some((verdict) => verdict.workload === workload),
    )
    .filter((flow) => !denied || flow.verdicts.some((verdict) => verdict.action !== 'allow'))
    .slice(0, limit);
  return {
    flows: shown.map((flow): FlowResult => ({
      ...flow,
      protocol: protocolName(flow.protocol),
      verdicts: flow.verdicts.map((verdict) => ({ ...verdict, rule: verdict.rule ?? DEFAULT_RULE })),
    })),
    total,
  };
}

export async function stats(control: Control): Promise<StatsResult> {
  const found = await control.ask('stats', {});
  return {
    ...found,
    hits: found.hits.map(({ rule = DEFAULT_RULE, workload, direction, flows, packets, bytes }) => ({
      rule,
      workload,
      direction,
      flows,
      packets,
      bytes,
    })),
  };
}
