import type { Document } from '../documents/index.js';
import type { Resolved } from './resolve.js';
import type { Lowered } from './types.js';

/** Resolved policy -> the engine's state. */
export function lower(_resolved: Resolved): Lowered {
  throw new Error('not built');
}

/** Documents without errors -> the engine's state: resolve and lower. */
export function compile(_documents: readonly Document[]): Lowered {
  throw new Error('not built');
}
