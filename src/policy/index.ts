// What the rest of Headgate uses of the policy's path.
export * from './types.js';
export { check, type Checked } from './check.js';
export { resolve, type Resolved } from './resolve.js';
export { compile, lower } from './lower.js';
export { diff, inventoryOf, isEmpty } from './publish.js';
export { evaluate, evaluateFlow } from './evaluate.js';
export type { Decision, FlowAnswer, FlowQuestion, NearestMiss, Packet } from './evaluate.js';
export { plan, sameDocument, type DocumentChange, type FieldChange, type Plan } from './plan.js';
