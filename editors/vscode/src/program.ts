// Runs the program for its output.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** What it printed; an error with its own words if it failed. */
export async function run(binary: string, programArguments: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(binary, programArguments, { maxBuffer: 1 << 24 });
  return stdout;
}
