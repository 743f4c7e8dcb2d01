// Hit counters of rules, which the engine keeps for each workload and direction.

export interface Hits {
  flows: number;
  packets: number;
  bytes: number;
}

/** Sums by rule; those of the default action, which has none, are left out. */
export function hitsByRule(hits: readonly (Hits & { rule?: string | undefined })[]): Map<string, Hits> {
  const sums = new Map<string, Hits>();
  for (const { rule, flows, packets, bytes } of hits) {
    if (rule === undefined) continue;
    const sum = sums.get(rule) ?? { flows: 0, packets: 0, bytes: 0 };
    sum.flows += flows;
    sum.packets += packets;
    sum.bytes += bytes;
    sums.set(rule, sum);
  }
  return sums;
}
