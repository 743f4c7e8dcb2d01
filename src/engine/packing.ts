// Makes deltas small for the socket: index tables with the same digest are sent once, with the names of all workloads
// that have them. Both ends are here; unpacking what was packed gives the same delta.
import type { Delta, IndexTables, PackedDelta } from './messages.js';

export function packDelta(delta: Delta): PackedDelta {
  const { setIndexes, ...rest } = delta;
  if (setIndexes === undefined) return rest;
  const tables = new Map<string, IndexTables & { workloads: string[] }>();
  for (const index of setIndexes) {
    const known = tables.get(index.digest);
    if (known === undefined) tables.set(index.digest, { ...index, workloads: [index.workload] });
    else known.workloads.push(index.workload);
  }
  return {
    ...rest,
    setIndexes: [...tables.values()].map(({ workloads, digest, in: towards, out }) => ({
      workloads,
      digest,
      in: towards,
      out,
    })),
  };
}

/** The tables of an entry are shared by its workloads, not copied. */
export function unpackDelta(packed: PackedDelta): Delta {
  const { setIndexes, ...rest } = packed;
  if (setIndexes === undefined) return rest;
  return {
    ...rest,
    setIndexes: setIndexes.flatMap(({ workloads, digest, in: towards, out }) =>
      workloads.map((workload) => ({ workload, digest, in: towards, out })),
    ),
  };
}
