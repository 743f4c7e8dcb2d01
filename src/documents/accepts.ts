// A predicate compiled from a schema: whether a value passes, many times as fast as the schema says it.
//
// Nearly all documents are right, and a schema makes a copy and a protocol of each value only to say so. What the
// predicate does not pass is shown to the schema, which says what is wrong. It runs the schema's own checks on values of
// the types that documents use, and passes nothing of any other type.
import { z } from 'zod';

type Predicate = (value: unknown) => boolean;

const compiled = new WeakMap<z.core.$ZodType, Predicate>();

/** Whether the schema passes the value unchanged; `false` may also mean that only the schema can say. */
export function accepts(schema: z.core.$ZodType, value: unknown): boolean {
  let predicate = compiled.get(schema);
  if (!predicate) compiled.set(schema, (predicate = compile(schema)));
  return predicate(value);
}

function compile(schema: z.core.$ZodType): Predicate {
  const isOfType = compileType(schema);
  const checks = (schema._zod.def.checks ?? []).map((check) => check._zod.check);
  if (checks.length === 0) return isOfType;
  return (value) => {
    if (!isOfType(value)) return false;
    const payload: z.core.ParsePayload<never> = { value: value as never, issues: [] };
    for (const check of checks) {
      // A check that answers later says nothing now.
      if (check(payload) !== undefined || payload.issues.length > 0) return false;
    }
    return true;
  };
}

function compileType(schema: z.core.$ZodType): Predicate {
  if (schema instanceof z.ZodObject) return compileObject(schema);
  if (schema instanceof z.ZodOptional) {
    const inner = compile(schema.def.innerType);
    return (value) => value === undefined || inner(value);
  }
  if (schema instanceof z.ZodArray) {
    const element = compile(schema.def.element);
    return (value) => Array.isArray(value) && value.every(element);
  }
  if (schema instanceof z.ZodRecord) return compileRecord(schema);
  if (schema instanceof z.ZodUnion) {
    const options = schema.def.options.map(compile);
    return (value) => options.some((option) => option(value));
  }
  if (schema instanceof z.ZodEnum) {
    const words = new Set<unknown>(Object.values(schema.def.entries));
    return (value) => words.has(value);
  }
  if (schema instanceof z.ZodLiteral) {
    const words = new Set<unknown>(schema.def.values);
    return (value) => words.has(value);
  }
  if (schema instanceof z.ZodCustom) return (value) => schema.def.fn(value) === true;
  if (schema instanceof z.ZodBoolean) return (value) => typeof value === 'boolean';
  if (schema instanceof z.ZodTuple && schema.def.rest === null) {
    const items = schema.def.items.map(compile);
    return (value) =>
      Array.isArray(value) && value.length === items.length && items.every((item, i) => item(value[i]));
  }
  if (schema instanceof z.ZodNumberFormat && schema._zod.def.format === 'safeint')
    return (value) => Number.isSafeInteger(value);
  // Other formats (`z.email()`) are schemas that are checks themselves.
  if (schema._zod.traits.has('$ZodCheck')) return () => false;
  if (schema instanceof z.ZodString) return (value) => typeof value === 'string';
  if (schema instanceof z.ZodNumber) return (value) => Number.isFinite(value);
  return () => false;
}

/** Only strict ones: others drop or keep what they do not know. */
function compileObject(schema: z.ZodObject): Predicate {
  if (!(schema.def.catchall instanceof z.ZodNever)) return () => false;
  const fields = new Map(Object.entries(schema.shape).map(([name, field]) => [name, compile(field)]));
  const required = Object.entries(schema.shape)
    .filter(([, field]) => !(field instanceof z.ZodOptional))
    .map(([name]) => name);
  return (value) => {
    if (!isMap(value)) return false;
    for (const name in value) if (!fields.get(name)?.(value[name])) return false;
    return required.every((name) => name in value);
  };
}

function compileRecord(schema: z.ZodRecord): Predicate {
  const [key, inner] = [compile(schema.def.keyType), compile(schema.def.valueType as z.core.$ZodType)];
  return (value) => isMap(value) && Object.entries(value).every(([name, one]) => key(name) && inner(one));
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
