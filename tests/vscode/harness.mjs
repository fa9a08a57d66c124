// A minimal test runner: each test prints one line; finish() prints the counts for the shell script and gives the exit code.

const only = process.env.FORETYPE_TEST_ONLY ?? ''; // part of a name, to run single tests by hand
const limit = Number(process.env.FORETYPE_TEST_TIMEOUT_MS ?? 60000);

export class Harness {
  passed = 0;
  failed = 0;

  /** `onFailure` is told the name of a test that failed. */
  constructor(label, onFailure) {
    this.label = label;
    this.onFailure = onFailure;
  }

  test = async (name, body) => {
    if (!name.includes(only)) {
      return;
    }
    const started = Date.now();
    const seconds = () => `(${((Date.now() - started) / 1000).toFixed(1)} s)`;
    try {
      await body();
      this.passed += 1;
      console.log(`ok    ${this.label}: ${name} ${seconds()}`);
    } catch (error) {
      this.failed += 1;
      const reason = String(error.stack ?? error).split('\n').slice(0, 12).join('\n      ');
      console.log(`FAIL  ${this.label}: ${name} ${seconds()}\n      ${reason}`);
      await this.onFailure(name);
    }
  };

  finish() {
    console.log(`counts ${this.passed} ${this.failed}`);
    return this.failed === 0 ? 0 : 1;
  }
}

export function equal(actual, expected, what) {
  const [a, b] = [actual, expected].map((value) => JSON.stringify(value));
  if (a !== b) {
    throw new Error(`${what}: expected\n${b}\ngot\n${a}`);
  }
}

export function truthy(condition, what) {
  if (!condition) {
    throw new Error(what);
  }
}

/** Waits until `condition` gives something true and returns that. */
export async function wait(what, condition, milliseconds = limit) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const value = await condition();
    if (value) {
      return value;
    }
    if (Date.now() > end) {
      throw new Error(`timed out waiting for ${what}`);
    }
    await pause(30);
  }
}

/** Waits until `read` gives the same for a while, and returns that. */
export async function settled(what, read, milliseconds = 400) {
  let last = await read();
  let since = Date.now();
  return wait(`${what} to settle`, async () => {
    const now = await read();
    if (now !== last) {
      last = now;
      since = Date.now();
    }
    return Date.now() - since > milliseconds ? { value: now } : undefined;
  }).then(({ value }) => value);
}

export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
