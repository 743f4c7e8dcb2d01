import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Generous: on a busy machine a timeout that strikes early is a test that fails for no reason.
  test: { include: ['**/*.test.ts'], watch: false, testTimeout: 120_000, hookTimeout: 120_000 },
});
