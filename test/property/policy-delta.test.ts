// Deltas: what is applied to an engine that holds A makes it hold B, no more and no less, and then nothing is left to
// send; by the difference of two compiled states as by the engine's inventory, and compiled anew as compiled onward.
import { expect, test } from 'vitest';
import { deltaSchema } from '../../src/engine/messages.js';
import { change, compile, diff, inventoryOf, plan, withOrdersOf } from '../../src/policy/index.js';
import { EngineModel } from '../support/engine-model.js';
import { histories } from './histories.js';
import { holds } from './random.js';

/** Whatever is left out, nothing refers to it by a name that has to be there. */
const compilable = histories(['SecurityPolicy', 'Workload']);

test('a delta leads from one policy to the other and is accepted by the schema', () => {
  holds('policy-delta.test.ts', compilable, 200, (history) => {
    const [onward, anew] = [new EngineModel(), new EngineModel()];
    let compiled = compile([]);
    for (const engine of [onward, anew]) engine.apply(diff(engine.inventory(), compiled.desired));
    for (const documents of history) {
      const before = compiled.desired;
      compiled = compile(documents, compiled);
      const { desired } = compiled;
      const fast = { base: onward.state.generation, ...change(before, desired) };
      const slow = diff(anew.inventory(), desired, before);
      for (const delta of [fast, slow]) expect(deltaSchema.parse(delta)).toEqual(delta);
      onward.apply(fast);
      anew.apply(slow);
      expect(onward.state).toEqual(anew.state);
      const inventory = { ...onward.inventory(), generation: 1 };
      expect(inventoryOf(desired)).toEqual({
        ...inventory,
        rules: expect.arrayContaining(inventory.rules) as string[],
      });
      const fresh = withOrdersOf(compile([...documents].reverse()), inventory).desired;
      expect(diff(inventory, fresh, desired)).toEqual({});
      expect(change(desired, fresh)).toEqual({});
    }
  });
});

test('plan names a change for every delta, and none for equal documents', () => {
  holds('policy-delta.test.ts', compilable, 100, ([before = [], after = []]) => {
    const { changes, delta } = plan(before, after);
    if (changes.length === 0) expect(delta).toEqual({});
    for (const { change, fields } of changes) expect(fields.length > 0).toBe(change === 'changed');
    expect(plan(after, structuredClone(after))).toMatchObject({
      changes: [],
      unchanged: after.length,
      delta: {},
    });
  });
});
