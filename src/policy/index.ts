// What the rest of Headgate uses of the policy's path.
export * from './types.js';
export type { Checked } from './check.js';
export { compile, withOrdersOf } from './compile.js';
export { check, examine, type Examined } from './examine.js';
export { change, diff, entriesOf, inventoryOf, isEmpty, rulesOf } from './publish.js';
export { ruleIds } from './names.js';
export { describePacket, evaluate, evaluateIn, World } from './evaluate.js';
export { chooseAddresses, explicitAddress, findEnd, type End } from './ends.js';
export type { Decision, MissField, NearestMiss, Packet } from './evaluate.js';
export { evaluateFlow, type FlowAnswer, type FlowQuestion } from './evaluate-flow.js';
export { findEnded, type EndedConnections } from './quality-flows.js';
export { findQuality, type Quality } from './quality.js';
export { countsOf, plan, sameDocument, type DocumentChange, type FieldChange, type Plan } from './plan.js';
