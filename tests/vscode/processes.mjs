// The language servers that one window started.
import { readdirSync, readFileSync, realpathSync } from 'node:fs';

/** Process ids of the servers whose environment names this window's folder. */
export function servers(binary, folder) {
  const program = realpathSync(binary);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((id) => {
      try {
        const environment = readFileSync(`/proc/${id}/environ`, 'utf8').split('\0');
        return realpathSync(`/proc/${id}/exe`) === program && environment.includes(`FORETYPE_TEST_WINDOW=${folder}`);
      } catch {
        return false; // it ended meanwhile, or is not ours
      }
    })
    .map(Number);
}
