// Group: workloads, addresses and other groups under one name.
import type { z } from 'zod';
import { selectionSchema } from './selection.js';

export const groupSpecSchema = selectionSchema;

export type GroupSpec = z.infer<typeof groupSpecSchema>;
