// Random numbers from a seed: the same seed gives the same rule sets, documents and headers everywhere.

/** Values with how often each is drawn. */
export type Weighted<T> = readonly (readonly [T, number])[];

/** sfc32: 128 bits of state, so that long runs of draws do not show patterns. */
export class Random {
  #a = 0x9e3779b9;
  #b = 0x243f6a88;
  #c = 0xb7e15162;
  #counter: number;

  constructor(seed: number) {
    this.#counter = seed | 0;
    this.#a ^= Math.floor(seed / 2 ** 32);
    for (let i = 0; i < 16; i++) this.bits();
  }

  /** 32 random bits, unsigned. */
  bits(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** From 0 to below 1. */
  unit(): number {
    return this.bits() / 2 ** 32;
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    return Math.floor(this.unit() * limit);
  }

  /** A whole number from `first` to `last`. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  /** A whole number from `first` to `last` of any size. */
  betweenBig(first: bigint, last: bigint): bigint {
    const bits = [0, 1, 2, 3, 4].reduce((value) => (value << 32n) | BigInt(this.bits()), 0n);
    return first + (bits % (last - first + 1n));
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  /** One of the values, each as often as its weight says. */
  weighted<T>(values: Weighted<T>): T {
    let left = this.unit() * values.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [value, weight] of values) if ((left -= weight) < 0) return value;
    return (values.at(-1) as readonly [T, number])[0];
  }
}
