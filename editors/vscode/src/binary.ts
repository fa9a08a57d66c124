// Finds the program `foretype`.
import { accessSync, constants, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** What the search depends on. */
export interface Surroundings {
  /** The setting `foretype.server.path`. */
  setting: string;
  extensionPath: string;
  environment: Record<string, string | undefined>;
  home: string;
  isProgram: (path: string) => boolean;
}

export type Found = { path: string } | { problem: string };

/** The surroundings of this machine. */
export function surroundings(setting: string, extensionPath: string): Surroundings {
  return { setting, extensionPath, environment: process.env, home: homedir(), isProgram };
}

/** What the user named, and nothing else then; else the first that is there. */
export function findBinary(around: Surroundings): Found {
  const { setting, extensionPath, environment, home } = around;
  const name = process.platform === 'win32' ? 'foretype.exe' : 'foretype';
  if (setting.trim() !== '') {
    const path = setting.trim().replace(/^~(?=[/\\])/, () => home);
    return around.isProgram(path)
      ? { path }
      : { problem: `\`${path}\` (setting foretype.server.path) is not a program that can be run` };
  }
  const cargo = environment['CARGO_HOME'] ?? join(home, '.cargo');
  const onPath = (environment['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const folders = [join(extensionPath, 'bin'), ...onPath, join(cargo, 'bin')];
  const path = folders.map((folder) => join(folder, name)).find(around.isProgram);
  return path ? { path } : { problem: `there is no program \`foretype\` on PATH nor in ${join(cargo, 'bin')}` };
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
