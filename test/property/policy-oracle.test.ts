// What the documents say (evaluate) and what the engine is told (compile, read by a walker of its own) agree:
// the action, the deciding rule, what was passed and observed.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, compile, diff, evaluate } from '../../src/policy/index.js';
import type { Direction } from '../../src/policy/index.js';
import { EngineModel } from '../support/engine-model.js';
import { documentSets, packets, places } from './arbitrary-documents.js';
import { holds } from './random.js';
import { walk } from './walk-desired.js';

const questions = fc.array(fc.record({ place: places, packet: packets }), { minLength: 5, maxLength: 20 });

test('evaluate and the compiled state agree', () => {
  const tally = { rule: 0, default: 0, passed: 0, observed: 0 };
  holds('policy-oracle.test.ts', fc.tuple(documentSets, questions), 300, ([documents, asked]) => {
    expect(check(documents).errors).toEqual([]);
    const { desired, report } = compile(documents);
    const engine = new EngineModel();
    engine.apply(diff(engine.inventory(), desired));
    for (const { place, packet } of asked) {
      const direction = place.direction as Direction;
      const said = evaluate(documents, place.workload, direction, packet);
      const told = walk(engine.state, place.workload, direction, packet);
      const what = JSON.stringify({ place, packet });
      const id = (rule: { id: string }) => rule.id;
      expect({ what, action: told.action, rule: told.rule }).toEqual({
        what,
        action: said.action,
        rule: said.rule?.id,
      });
      expect(told.passed).toEqual(said.passed.map(id));
      expect(told.observed).toEqual(said.observed.map(id));
      for (const one of [told.rule ?? [], told.passed, told.observed].flat()) {
        expect(report.rule(one)?.id).toBe(one);
      }
      if (!said.rule && said.nearestMiss === undefined) {
        const rules = documents.reduce(
          (sum, one) => sum + (one.kind === 'SecurityPolicy' ? one.spec.rules.length : 0),
          0,
        );
        expect(said.passed.length).toBe(rules);
      }
      tally[said.rule ? 'rule' : 'default']++;
      tally.passed += Math.min(1, said.passed.length);
      tally.observed += Math.min(1, said.observed.length);
    }
  });
  // The random world must exercise every outcome, or the property shows nothing.
  const least = Math.floor((tally.rule + tally.default) / 100);
  for (const [outcome, count] of Object.entries(tally))
    expect(`${outcome} ${count >= least}`).toBe(`${outcome} true`);
});
