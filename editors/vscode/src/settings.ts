// The section `foretype` of VS Code's settings.
import { workspace } from 'vscode';
import { written, type WrittenValues } from './written';

export const SECTION = 'foretype';

/** Settings that the extension reads itself; the server does not know them. */
const OWN = new Set(['enable', 'server', 'trace']);

export interface OwnSettings {
  enable: boolean;
  serverPath: string;
  serverArguments: string[];
}

export function ownSettings(): OwnSettings {
  const section = workspace.getConfiguration(SECTION);
  return {
    enable: section.get('enable', true),
    serverPath: section.get('server.path', ''),
    serverArguments: section.get('server.args', []),
  };
}

/** What the server is told. */
export function serverSettings(): Record<string, unknown> {
  const section = workspace.getConfiguration(SECTION);
  const settings: Record<string, unknown> = {};
  for (const key of Object.keys(section)) {
    const values = OWN.has(key) ? undefined : section.inspect(key);
    const value = values && written(values as WrittenValues);
    if (value !== undefined) {
      settings[key] = value;
    }
  }
  return settings;
}
