// What rules are good for: finds those that no flow reaches, and those without which nothing would change.
//
//   unreachable   every flow that it matches is taken by rules before it, at all of its workloads
//   redundant     every flow that it decides would be decided alike without it, by a rule behind it or the default
//
// What is found is true, and stays true when all that was found is removed at once; not all that there is is found. In
// doubt a rule is good. An earlier rule of another category counts only if no `pass` before it there may lead around it.
import type { RuleReference } from './types.js';
import type { Desired } from './types.js';
import type { Matched, MatchedRule } from './quality-match.js';
import { coverSideTogether, coversSide, matchedRules, meetsSide } from './quality-match.js';

export interface Finding {
  kind: 'unreachable' | 'redundant';
  rule: RuleReference;
  /** What takes its flows: rules, or without any the default action or, for `pass`, the end of its category. */
  by: RuleReference[];
}

export interface Quality {
  findings: Finding[];
  /** Rules that were looked at, of all: fewer when time was up. */
  lookedAt: number;
  rules: number;
}

const DIRECTIONS = ['in', 'out'] as const;
type Directed = (typeof DIRECTIONS)[number];

/** Rules that are named as taking a rule's flows. */
const MOST_NAMED = 3;
/** Numbers of rules that are kept beside scopes. */
const MOST_KEPT = 10_000_000;
/** Pairs of rules between two looks at the clock. */
const PAIRS_OF_SLICE = 200_000;

/**
 * Looks at every rule, those of the named policies first, until it is told that time is up. Yields now and then, so that
 * others can have their turn.
 */
export function* findQuality(
  desired: Desired,
  first: ReadonlySet<string>,
  timeIsUp: () => boolean,
): Generator<undefined, Quality> {
  const search = new Search(desired);
  const findings: Finding[] = [];
  const changed = ({ rule }: MatchedRule) =>
    first.has(rule.reference.id.slice(0, rule.reference.id.indexOf('/')));
  const order = [...search.rules.keys()];
  const sorted = [
    ...order.filter((i) => changed(search.at(i))),
    ...order.filter((i) => !changed(search.at(i))),
  ];
  let lookedAt = 0;
  for (const pass of ['unreachable', 'redundant'] as const) {
    let pairs = 0;
    lookedAt = 0;
    for (const i of sorted) {
      pairs += pass === 'unreachable' ? i : search.rules.length - i;
      if (pairs > PAIRS_OF_SLICE) {
        pairs = 0;
        yield;
        if (timeIsUp()) break;
      }
      lookedAt++;
      const by = pass === 'unreachable' ? search.blockers(i) : search.followers(i);
      if (by) findings.push({ kind: pass, rule: search.at(i).rule.reference, by: by.slice(0, MOST_NAMED) });
    }
  }
  return { findings, lookedAt, rules: search.rules.length };
}

/** What `findQuality` finds without a limit. */
export function qualityOf(desired: Desired): Quality {
  const search = findQuality(desired, new Set(), () => false);
  for (;;) {
    const step = search.next();
    if (step.done) return step.value;
  }
}

/** The parts of a rule in which another does not cover it. */
type Part = 'source' | 'destination' | 'services';

class Search {
  readonly rules: readonly MatchedRule[];
  private readonly matched: Matched;
  private readonly defaultAction: string;
  private readonly around: Around;
  private readonly passing: number[];
  private readonly unreachable = new Set<number>();

  constructor(desired: Desired) {
    this.matched = matchedRules(desired);
    this.rules = this.matched.rules;
    this.around = new Around(this.matched);
    this.defaultAction = desired.defaultAction;
    this.passing = [...this.rules.keys()].filter((i) => {
      const { isEnforced, rule } = this.at(i);
      return isEnforced && rule.content.action === 'pass';
    });
  }

  at(i: number): MatchedRule {
    return this.rules[i] as MatchedRule;
  }

  /** The rules that take all flows from a rule; undefined: some may reach it. */
  blockers(i: number): RuleReference[] | undefined {
    const rule = this.at(i);
    if (rule.isEmpty) return undefined;
    const open = new Set(DIRECTIONS.filter((direction) => rule[direction]));
    const named = new Set<RuleReference>();
    const partly: { part: Part; by: MatchedRule }[] = [];
    for (const j of this.around.of(rule.scope).holding) {
      if (j >= i || open.size === 0) break;
      const by = this.at(j);
      const missing = this.takes(j, by, rule);
      if (missing === 'none') {
        for (const direction of open) {
          if (!by[direction]) continue;
          open.delete(direction);
          named.add(by.rule.reference);
        }
      } else if (missing) {
        partly.push({ part: missing, by });
      }
    }
    for (const direction of open) {
      const together = this.takenTogether(
        rule,
        partly.filter(({ by }) => by[direction]),
      );
      if (!together) return undefined;
      for (const { rule: one } of together) named.add(one.reference);
    }
    this.unreachable.add(i);
    return [...named];
  }

  /** How much of a later rule's flows an earlier one that stands at all of its workloads takes: all, all but for one part, or too little: undefined. */
  private takes(j: number, by: MatchedRule, rule: MatchedRule): Part | 'none' | undefined {
    const { isEnforced, category } = by;
    if (!isEnforced || !isDirectedAlike(by, rule)) return undefined;
    if (category !== rule.category && by.rule.content.action === 'pass') return undefined;
    let missing: Part | 'none' = 'none';
    if (!coversSide(by.source, rule.source)) missing = 'source';
    if (!coversSide(by.destination, rule.destination)) {
      if (missing !== 'none') return undefined;
      missing = 'destination';
    }
    if (!this.matched.services.covers(by.services, rule.services)) {
      if (missing !== 'none') return undefined;
      missing = 'services';
    }
    if (missing !== 'none' && !this.meets(by, rule)) return undefined;
    return category !== rule.category && this.mayBePassed(j, rule) ? undefined : missing;
  }

  /** Whether flows of a rule may leave the category of an earlier one before they get to it. */
  private mayBePassed(j: number, rule: MatchedRule): boolean {
    const { category } = this.at(j);
    return this.passing.some((p) => {
      const pass = this.at(p);
      return (
        p < j &&
        pass.category === category &&
        isDirectedAlike(pass, rule) &&
        this.matched.scopes.meet(pass.scope, rule.scope) &&
        this.meets(pass, rule)
      );
    });
  }

  private takenTogether(
    rule: MatchedRule,
    partly: { part: Part; by: MatchedRule }[],
  ): MatchedRule[] | undefined {
    for (const part of ['source', 'destination', 'services'] as const) {
      const found = partly.filter((one) => one.part === part).map(({ by }) => by);
      if (found.length < 2) continue;
      const covered =
        part === 'services'
          ? this.matched.services.coverTogether(
              found.map(({ services }) => services),
              rule.services,
            )
          : coverSideTogether(
              found.map((one) => one[part]),
              rule[part],
            );
      if (covered) return found;
    }
    return undefined;
  }

  /** What decides all of a rule's flows alike if it is removed; undefined: something may change. */
  followers(i: number): RuleReference[] | undefined {
    const rule = this.at(i);
    if (rule.isEmpty || !rule.isEnforced || this.unreachable.has(i)) return undefined;
    const named = new Set<RuleReference>();
    for (const direction of DIRECTIONS) {
      if (!rule[direction]) continue;
      const follower = this.follower(i, rule, direction);
      if (follower === undefined) return undefined;
      if (follower !== 'end') named.add(follower);
    }
    return [...named];
  }

  private follower(i: number, rule: MatchedRule, direction: Directed): RuleReference | 'end' | undefined {
    const { action, log, onChange, helper } = rule.rule.content;
    for (const k of this.around.of(rule.scope).meeting) {
      if (k <= i) continue;
      const next = this.at(k);
      if (action === 'pass' && next.category !== rule.category) break;
      if (!next[direction] || !this.meets(next, rule)) continue;
      const { content } = next.rule;
      if (!next.isEnforced || content.action !== action) return undefined;
      if (content.log !== log || content.onChange !== onChange || content.helper !== helper) return undefined;
      // One that no flow reaches may be removed as well.
      if (!this.unreachable.has(k) && this.covers(next, rule)) return next.rule.reference;
    }
    if (log || onChange !== 'reevaluate' || helper) return undefined;
    return action === 'pass' || action === this.defaultAction ? 'end' : undefined;
  }

  private covers(outer: MatchedRule, inner: MatchedRule): boolean {
    return (
      this.matched.scopes.holds(outer.scope, inner.scope) &&
      coversSide(outer.source, inner.source) &&
      coversSide(outer.destination, inner.destination) &&
      this.matched.services.covers(outer.services, inner.services)
    );
  }

  /** Whether any flow matches both, wherever both stand. */
  private meets(a: MatchedRule, b: MatchedRule): boolean {
    return (
      meetsSide(a.source, b.source) &&
      meetsSide(a.destination, b.destination) &&
      this.matched.services.meet(a.services, b.services)
    );
  }
}

/** For each scope the rules, in order, that stand at all of its workloads or at some; those that match nothing left out. */
class Around {
  private readonly known = new Map<number, { holding: number[]; meeting: number[] }>();
  private size = 0;

  /** The rules of each scope. */
  private readonly byScope: number[][];

  constructor(private readonly matched: Matched) {
    this.byScope = Array.from({ length: matched.scopes.count }, () => []);
    for (const [i, { scope, isEmpty }] of matched.rules.entries()) if (!isEmpty) this.byScope[scope]?.push(i);
  }

  of(scope: number): { holding: number[]; meeting: number[] } {
    let around = this.known.get(scope);
    if (!around) {
      if (this.size > MOST_KEPT) {
        this.known.clear();
        this.size = 0;
      }
      this.known.set(scope, (around = this.find(scope)));
      this.size += around.meeting.length;
    }
    return around;
  }

  private find(scope: number): { holding: number[]; meeting: number[] } {
    const { scopes } = this.matched;
    const around = { holding: [] as number[], meeting: [] as number[] };
    for (const [other, rules] of this.byScope.entries()) {
      if (!scopes.meet(other, scope)) continue;
      const holds = scopes.holds(other, scope);
      for (const i of rules) {
        around.meeting.push(i);
        if (holds) around.holding.push(i);
      }
    }
    around.meeting.sort((a, b) => a - b);
    around.holding.sort((a, b) => a - b);
    return around;
  }
}

function isDirectedAlike(a: MatchedRule, b: MatchedRule): boolean {
  return (a.in && b.in) || (a.out && b.out);
}
