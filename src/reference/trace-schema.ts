// docs/reference/trace.schema.json: what `headgate trace -o json` prints, an object for each packet.
import { z } from 'zod';
import { traceAnswerSchema } from '../trace/answer.js';

export function traceJsonSchema(): string {
  const schema = z.toJSONSchema(traceAnswerSchema, { io: 'output' });
  return `${JSON.stringify({ title: 'A packet traced by Headgate', ...schema }, null, 2)}\n`;
}
