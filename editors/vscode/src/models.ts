// What `foretype models list --json` tells.

export interface Model {
  name: string;
  description: string;
  parameters: string;
  license: string;
  installed: boolean;
  supported: boolean;
}

/** One model a line. */
export function parseModels(output: string): Model[] {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return lines.map((line) => JSON.parse(line) as Model);
}
