// What the rest of Headgate uses of the documents.
export * from './types.js';
export { readDocuments, parseDocument } from './read.js';
export { loadPaths } from './load.js';
export { loadSources, type Source } from './sources.js';
export { formatYaml, plain } from './format.js';
export { CATEGORIES, type Category, type Rule, type SecurityPolicySpec } from './security-policy.js';
export type { AppliedTo, Selection, WorkloadSelector } from './selection.js';
export { PROTOCOLS, protocolName, protocolNumber } from './protocols.js';
export type { ServiceEntry, ServiceSpec } from './service.js';
export {
  edgePlace,
  edgeSegment,
  SIDES,
  tagsOf,
  type BridgeSpec,
  type EdgePairSpec,
  type EdgeSide,
} from './edge-pair.js';
export { trackerPlace, type TrackerSpec } from './tracker.js';
export type { SegmentSpec } from './segment.js';
export type { GroupSpec } from './group.js';
export type { FlowLogSpec, HostSpec } from './host.js';
export { parseAddress, parseEndpoint } from './ip.js';
export { addressesOf, attachKind, deviceOf, macOf, type WorkloadSpec } from './workload.js';
