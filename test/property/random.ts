// Runs a property with a seed that can be given again. A failure prints the command that repeats it.
//
//   HEADGATE_SEED=1 HEADGATE_RUNS=10000 npx vitest run test/property/policy-oracle.test.ts
import fc from 'fast-check';

export function holds<T>(
  file: string,
  arbitrary: fc.Arbitrary<T>,
  runs: number,
  predicate: (value: T) => void,
): void {
  const seed = Number(process.env['HEADGATE_SEED'] ?? Date.now() % 2 ** 31);
  const numRuns = Number(process.env['HEADGATE_RUNS'] ?? runs);
  try {
    fc.assert(fc.property(arbitrary, predicate), { seed, numRuns });
  } catch (cause) {
    const again = `HEADGATE_SEED=${seed} HEADGATE_RUNS=${numRuns} npx vitest run test/property/${file}`;
    throw new Error(`repeat with: ${again}\n${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

/** Small, fast, seeded (mulberry32): numbers in [0, 1). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
