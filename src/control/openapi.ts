// The OpenAPI document that control serves, made from the routes and the schemas by which their bodies are checked.
import { z } from 'zod';
import { error, progress } from './results.js';
import { NDJSON } from './progress.js';
import type { Route } from './routes.js';

export function openApi(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = (paths[route.path.replace(/:(\w+)/g, '{$1}')] ??= {});
    path[route.method.toLowerCase()] = operation(route);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Headgate control',
      version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description: 'HTTP and JSON on the unix socket headgate.sock in the run directory.',
    },
    servers: [{ url: 'http://localhost', description: 'curl --unix-socket /run/headgate/headgate.sock' }],
    paths,
  };
}

function operation({ method, path, summary, query = {}, body, result, tells }: Route): object {
  const schema = result === undefined ? {} : schemaOf(result, 'output');
  return {
    operationId: `${method.toLowerCase()}${path.replace(/^\/v1/, '').replace(/\W+(\w)/g, (_, c: string) => c.toUpperCase())}`,
    summary,
    parameters: [
      ...[...path.matchAll(/:(\w+)/g)].map(([, name]) => ({ ...parameter(name, 'path'), required: true })),
      ...Object.entries(query).map(([name, description]) => ({ ...parameter(name, 'query'), description })),
    ],
    ...(body && { requestBody: { content: { 'application/json': { schema: schemaOf(body, 'input') } } } }),
    responses: {
      200: {
        description: 'Done',
        content: { 'application/json': { schema }, ...(tells && { [NDJSON]: { schema: lines(schema) } }) },
      },
      default: {
        description: 'It failed; nothing was changed',
        content: { 'application/json': { schema: schemaOf(error, 'output') } },
      },
    },
  };
}

function parameter(name: string | undefined, place: 'path' | 'query'): object {
  return { name, in: place, schema: { type: 'string' } };
}

/** One line: where it is, or as the last one its result or error. */
function lines(result: object): object {
  const last = { type: 'object', properties: { result }, required: ['result'], additionalProperties: false };
  return { oneOf: [schemaOf(progress, 'output'), last, schemaOf(error, 'output')] };
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
}
