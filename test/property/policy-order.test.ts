// Orders of entries: they always increase, most stay as they are, and new ones find room for as long as there is any.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ORDER_LIMIT } from '../../src/engine/messages.js';
import { assignOrders } from '../../src/policy/order.js';
import { generator, holds } from './random.js';

type Held = (number | undefined)[];

const few = fc.integer({ min: 0, max: 40 });
const anywhere = fc.oneof(
  few,
  fc.integer({ min: 0, max: ORDER_LIMIT - 1 }),
  fc.constantFrom(ORDER_LIMIT - 1),
);
const lists: fc.Arbitrary<Held> = fc.array(fc.option(anywhere, { nil: undefined, freq: 2 }), {
  maxLength: 30,
});

function expectIncreasing(orders: readonly number[]): void {
  for (const [i, order] of orders.entries()) {
    expect(Number.isInteger(order) && order >= 0 && order < ORDER_LIMIT, `${order}`).toBe(true);
    if (i > 0) expect(order).toBeGreaterThan(orders[i - 1] as number);
  }
}

/** Length of the longest increasing subsequence, the slow way. */
function mostThatStay(held: Held): number {
  const best: number[] = [];
  for (const [i, order] of held.entries()) {
    best[i] = order === undefined ? 0 : 1;
    for (let j = 0; j < i; j++) {
      const before = held[j];
      if (order !== undefined && before !== undefined && before < order)
        best[i] = Math.max(best[i] as number, (best[j] as number) + 1);
    }
  }
  return Math.max(0, ...best);
}

test('orders increase and stay within their bounds, whatever is held', () => {
  holds('policy-order.test.ts', lists, 1000, (held) => {
    const orders = assignOrders(held);
    expect(orders).toHaveLength(held.length);
    expectIncreasing(orders);
    expect(assignOrders(orders)).toEqual(orders);
  });
});

test('where gaps are wide, as many stay as can', () => {
  const wide = fc.array(fc.option(few, { nil: undefined, freq: 2 }), { maxLength: 30 });
  holds('policy-order.test.ts', wide, 1000, (small) => {
    const held = small.map((order) => (order === undefined ? undefined : (order + 1) * 2 ** 40));
    const orders = assignOrders(held);
    const stayed = held.filter((order, i) => order !== undefined && order === orders[i]).length;
    expect(stayed).toBe(mostThatStay(held));
  });
});

test('what is put in moves nothing for long, and then only neighbours', () => {
  const seed = Number(process.env['HEADGATE_SEED'] ?? Date.now() % 2 ** 31);
  const again = `HEADGATE_SEED=${seed} npx vitest run test/property/policy-order.test.ts`;
  const random = generator(seed);
  for (const place of [(n: number) => Math.floor(random() * (n + 1)), () => 0, (n: number) => n, () => 500]) {
    let orders: Held = assignOrders(new Array<undefined>(1000).fill(undefined));
    let moved = 0;
    let most = 0;
    for (let i = 0; i < 3000; i++) {
      const held: Held = [...orders];
      held.splice(place(orders.length), 0, undefined);
      const next = assignOrders(held);
      const now = held.filter((order, j) => order !== undefined && order !== next[j]).length;
      moved += now;
      most = Math.max(most, now);
      orders = next;
    }
    expectIncreasing(orders as number[]);
    expect(moved / 3000, again).toBeLessThan(1);
    expect(most, again).toBeLessThan(100);
  }
});

test('a million entries have room', () => {
  const orders = assignOrders(new Array<undefined>(1_000_000).fill(undefined));
  expect(orders.every((order, i) => i === 0 || order - (orders[i - 1] as number) >= 2 ** 24)).toBe(true);
  expect(orders.at(-1)).toBeLessThan(ORDER_LIMIT);
});
