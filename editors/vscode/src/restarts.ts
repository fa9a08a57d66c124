// How often a server that dies is started again.

const MOST = 4;
const PERIOD_MS = 3 * 60 * 1000;

/** Counts crashes. */
export class Restarts {
  private readonly crashes: number[] = [];

  /** Whether to start it again after a crash at this time: not when crashes follow each other fast. */
  mayRestart(now: number): boolean {
    this.crashes.push(now);
    return this.crashes.filter((time) => now - time < PERIOD_MS).length <= MOST;
  }
}
