// What Headgate itself is made of: Node.js and the native packet path.
import { loadAddon } from '../../engine/addon.js';
import { errorMessage } from '../../shared/errors.js';
import { mend, ok, type Result } from './result.js';

const LEAST_NODE = 20;

export function checkNode(version: string = process.versions.node): Result[] {
  if (Number.parseInt(version, 10) >= LEAST_NODE) return [ok('node', `Node.js ${version}.`)];
  const remedy = `Install Node.js ${LEAST_NODE} or later, then build the addon anew: scripts/setup`;
  return [mend('node', `Node.js ${version} is too old.`, remedy)];
}

export function checkAddon(load: () => unknown = loadAddon): Result[] {
  try {
    load();
    return [ok('addon', 'The packet path can be loaded.')];
  } catch (error) {
    return [
      mend('addon', errorMessage(error), 'Build it for this machine: scripts/setup, or install the package.'),
    ];
  }
}
