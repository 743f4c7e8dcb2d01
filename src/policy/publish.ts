import type { Delta, Inventory } from '../engine/messages.js';
import type { Desired, Timeouts } from './types.js';

/**
 * The smallest delta that turns what the engine holds into what is desired. The inventory does not tell the
 * timeouts: `knownTimeouts` are those last published (control remembers them; unknown after its restart).
 */
export function diff(_inventory: Inventory, _desired: Desired, _knownTimeouts?: Timeouts): Delta {
  throw new Error('not built');
}

export function isEmpty(_delta: Delta): boolean {
  throw new Error('not built');
}

/** The inventory that an engine has once it holds this. */
export function inventoryOf(_desired: Desired): Inventory {
  throw new Error('not built');
}
