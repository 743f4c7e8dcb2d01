// The documents as everything behind the reader sees them: checked, typed, and knowing where they come from.
import type { EdgePairSpec } from './edge-pair.js';
import type { GroupSpec } from './group.js';
import type { HostSpec } from './host.js';
import type { SecurityPolicySpec } from './security-policy.js';
import type { SegmentSpec } from './segment.js';
import type { ServiceSpec } from './service.js';
import type { ServiceChainSpec } from './service-chain.js';
import type { ServiceInsertionSpec } from './service-insertion.js';
import type { ServicePortalSpec } from './service-portal.js';
import type { ServiceTagSpec } from './service-tag.js';
import type { TrackerSpec } from './tracker.js';
import type { TunnelSpec } from './tunnel.js';
import type { WorkloadSpec } from './workload.js';

export const API_VERSION = 'headgate/v1';

/** A new kind is a line here, in `KINDS`, and in `SPEC_SCHEMAS` (specs.ts). */
interface Specs {
  Segment: SegmentSpec;
  Workload: WorkloadSpec;
  Tracker: TrackerSpec;
  EdgePair: EdgePairSpec;
  Group: GroupSpec;
  Service: ServiceSpec;
  Tunnel: TunnelSpec;
  ServicePortal: ServicePortalSpec;
  ServiceTag: ServiceTagSpec;
  ServiceInsertion: ServiceInsertionSpec;
  ServiceChain: ServiceChainSpec;
  SecurityPolicy: SecurityPolicySpec;
  Host: HostSpec;
}

export type Kind = keyof Specs;
export const KINDS: Kind[] = [
  'Segment',
  'Workload',
  'Tracker',
  'EdgePair',
  'Group',
  'Service',
  'SecurityPolicy',
  'Tunnel',
  'ServicePortal',
  'ServiceTag',
  'ServiceInsertion',
  'ServiceChain',
  'Host',
];

/** Where a document stands. Lines count from 1. */
export interface Origin {
  file: string;
  line: number;
  /** SecurityPolicy, ServiceInsertion: the line of each rule, in the order of `spec.rules`. */
  rules?: number[] | undefined;
}

export interface Metadata {
  name: string;
  labels: Record<string, string>;
}

export interface DocumentOf<K extends Kind> {
  apiVersion: typeof API_VERSION;
  kind: K;
  metadata: Metadata;
  spec: Specs[K];
  origin: Origin;
}

/** One checked document. Plain data: JSON.stringify and `parseDocument` carry it to a store and back. */
export type Document = { [K in Kind]: DocumentOf<K> }[Kind];

export type SegmentDocument = DocumentOf<'Segment'>;
export type WorkloadDocument = DocumentOf<'Workload'>;
export type TrackerDocument = DocumentOf<'Tracker'>;
export type EdgePairDocument = DocumentOf<'EdgePair'>;
export type GroupDocument = DocumentOf<'Group'>;
export type ServiceDocument = DocumentOf<'Service'>;
export type SecurityPolicyDocument = DocumentOf<'SecurityPolicy'>;
export type TunnelDocument = DocumentOf<'Tunnel'>;
export type ServicePortalDocument = DocumentOf<'ServicePortal'>;
export type ServiceTagDocument = DocumentOf<'ServiceTag'>;
export type ServiceInsertionDocument = DocumentOf<'ServiceInsertion'>;
export type ServiceChainDocument = DocumentOf<'ServiceChain'>;
export type HostDocument = DocumentOf<'Host'>;

/** What is wrong with a document, where, and how to mend it. Lines and columns count from 1. */
export interface DocumentError {
  file: string;
  line: number;
  column: number;
  /** `spec.rules[2].action`; empty for the whole document. */
  path: string;
  message: string;
}

/** `policy.yaml:12:7: spec.rules[2].action: unknown action "alow": did you mean "allow"?` */
export function formatError({ file, line, column, path, message }: DocumentError): string {
  return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`;
}

/** `Group/web`: how documents are named in messages and keys. */
export function documentKey(document: { kind: Kind; metadata: { name: string } }): string {
  return `${document.kind}/${document.metadata.name}`;
}

export function ofKind<K extends Kind>(documents: readonly Document[], kind: K): DocumentOf<K>[] {
  return documents.filter((document) => document.kind === kind) as Document[] as DocumentOf<K>[];
}
