// Headers of control's answers, for both ends; without zod, which a command has no time to load.

/** What is not enforced, URI-encoded; absent while all is. */
export const UNENFORCED_HEADER = 'headgate-unenforced';
