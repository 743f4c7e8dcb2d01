// The engine itself, without packets or ports: what its published tables say of a described packet is what the
// documents say, after a first publish and after a delta to other documents; and its inventory is what was sent.
import { rmSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Document } from '../../src/documents/index.js';
import { loadAddon } from '../../src/engine/addon.js';
import type { NativeEngine, PacketHeaders } from '../../src/engine/addon.js';
import { compile, diff, evaluate, withOrdersOf } from '../../src/policy/index.js';
import type { Direction } from '../../src/policy/index.js';
import type { HostPart } from '../../src/policy/publish.js';
import { NOTHING_KNOWN } from '../../src/policy/publish.js';
import { tmpfsFolder } from '../support/tmpfs-folder.js';
import { documentSets, packets, places } from './arbitrary-documents.js';

let folder = '';
let engine: NativeEngine;
let known: HostPart = NOTHING_KNOWN;

beforeAll(() => {
  folder = tmpfsFolder('hg-policy-engine-');
  engine = loadAddon().createEngine({ workers: 0, connections: 1024, poolDirectory: folder });
});
afterAll(() => {
  engine.stop();
  rmSync(folder, { recursive: true });
});

const questions = fc.array(fc.record({ place: places, packet: packets }), { minLength: 5, maxLength: 20 });

async function publishAndAsk(
  documents: Document[],
  asked: typeof questions extends fc.Arbitrary<infer Q> ? Q : never,
) {
  const inventory = engine.inventory();
  const { desired } = withOrdersOf(compile(documents), inventory);
  const delta = diff(inventory, desired, known);
  if (Object.keys(delta).length > 0) await engine.publish(delta);
  known = desired;
  expect(diff(engine.inventory(), desired, known)).toEqual({});
  for (const { place, packet } of asked) {
    const direction = place.direction as Direction;
    const said = evaluate(documents, place.workload, direction, packet);
    const told = engine.classify(place.workload, direction, packet as PacketHeaders);
    const what = JSON.stringify({ place, packet });
    expect({ what, action: told.action, rule: told.rule }).toEqual({
      what,
      action: said.action,
      rule: said.rule?.id,
    });
  }
}

test('the engine judges as the documents say', async () => {
  const seed = Number(process.env['HEADGATE_SEED'] ?? Date.now() % 2 ** 31);
  const numRuns = Number(process.env['HEADGATE_RUNS'] ?? 200);
  const again = `HEADGATE_SEED=${seed} HEADGATE_RUNS=${numRuns} npx vitest run test/property/policy-engine.test.ts`;
  await fc
    .assert(fc.asyncProperty(documentSets, questions, publishAndAsk), { seed, numRuns })
    .catch((cause: unknown) => {
      throw new Error(`repeat with: ${again}\n${String(cause)}`, { cause });
    });
});
