// How many users each name has. A change makes another one and leaves this as it was: a policy that is only planned, or
// that the engine refuses, must not be counted. What is small against the whole costs only what it is.
export class Uses {
  static readonly none = new Uses(new Map(), new Map());

  /** `#changed` holds what differs from `#base`, which several may share. */
  readonly #base: ReadonlyMap<string, number>;
  readonly #changed: ReadonlyMap<string, number>;

  private constructor(base: ReadonlyMap<string, number>, changed: ReadonlyMap<string, number>) {
    this.#base = base;
    this.#changed = changed;
  }

  of(name: string): number {
    return this.#changed.get(name) ?? this.#base.get(name) ?? 0;
  }

  /** Itself when users come and go in equal numbers. */
  change(gone: readonly Iterable<string>[], come: readonly Iterable<string>[]): Uses {
    const by = new Map<string, number>();
    for (const names of gone) for (const name of names) by.set(name, (by.get(name) ?? 0) - 1);
    for (const names of come) for (const name of names) by.set(name, (by.get(name) ?? 0) + 1);
    if (this.#base.size === 0 && this.#changed.size === 0)
      return by.size === 0 ? this : new Uses(by, this.#changed);
    const changed = new Map(this.#changed);
    let same = true;
    for (const [name, count] of by) {
      if (count === 0) continue;
      same = false;
      changed.set(name, this.of(name) + count);
    }
    if (same) return this;
    return changed.size * 32 > this.#base.size
      ? Uses.#joined(this.#base, changed)
      : new Uses(this.#base, changed);
  }

  static #joined(base: ReadonlyMap<string, number>, changed: ReadonlyMap<string, number>): Uses {
    const joined = new Map(base);
    for (const [name, count] of changed) {
      if (count > 0) joined.set(name, count);
      else joined.delete(name);
    }
    return new Uses(joined, new Map());
  }
}
