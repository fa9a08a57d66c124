// A setting as its user wrote it.

/** What VS Code's `inspect` tells of one setting. */
export interface WrittenValues {
  defaultValue?: unknown;
  globalValue?: unknown;
  workspaceValue?: unknown;
  workspaceFolderValue?: unknown;
}

/**
 * The value that is written somewhere, undefined where none is. Defaults are left out: sent to the server, they would
 * win over the files `.foretype.toml` and `config.toml`. Tables are put together key by key, as VS Code does.
 */
export function written(values: WrittenValues): unknown {
  const all = [values.globalValue, values.workspaceValue, values.workspaceFolderValue];
  const present = all.filter((value) => value !== undefined && value !== null);
  return present.length > 1 && present.every(isTable) ? Object.assign({}, ...present) : present.at(-1);
}

function isTable(value: unknown): boolean {
  return typeof value === 'object' && !Array.isArray(value);
}
