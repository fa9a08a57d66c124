// e2e.mjs LABEL PREFIX VSIX SERVER: one VS Code, one window, all tests. PREFIX is what `install` made.
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CodeServer } from './code_server.mjs';
import { Harness } from './harness.mjs';
import { servers } from './processes.mjs';
import { Window } from './window.mjs';

const [label, prefix, vsix, binary] = process.argv.slice(2);
const { chromium } = createRequire(join(prefix, 'driver/'))('playwright-core');
const folder = mkdtempSync(join(tmpdir(), 'foretype-vscode-'));
const screenshots = process.env.FORETYPE_SCREENSHOTS && join(process.env.FORETYPE_SCREENSHOTS, label.replaceAll(' ', '-'));

const codeServer = new CodeServer({ prefix, folder, vsix });
codeServer.writeServer(binary);
// Time enough for a loaded machine, suggestions of one line for what is read from the screen.
codeServer.writeSettings({
  'foretype.budgetMs': 5000,
  'foretype.eagerness': 1,
  'foretype.threads': 2,
  'foretype.multiline': 'never',
});

let browser;
const stop = async () => {
  await browser?.close();
  await codeServer.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
};
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => stop().finally(() => process.exit(1)));
}

const keepLogs = (failures) => {
  const logs = join(folder, 'data/logs');
  if (failures && existsSync(logs)) {
    cpSync(logs, join(failures, `logs ${label}`), { recursive: true });
  }
};

let code = 1;
try {
  await codeServer.start();
  browser = await chromium.launchPersistentContext(join(folder, 'browser'), {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    viewport: { width: 1100, height: 700 },
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  browser.setDefaultTimeout(Number(process.env.FORETYPE_TEST_TIMEOUT_MS ?? 60000));
  const page = browser.pages()[0] ?? (await browser.newPage());
  const window = new Window(page, codeServer, screenshots);
  const failures = new Window(page, codeServer, process.env.FORETYPE_FAILURES);
  const afterFailure = async (name) => {
    await failures.shoot(`${label} ${name}`);
    // The next tests must not fail for this one.
    codeServer.writeServer(binary);
    await window.tidy();
  };
  const harness = new Harness(label, (name) => afterFailure(name).catch((error) => console.error(error)));
  await window.load();
  const fixture = { harness, window, codeServer, binary, servers: () => servers(binary, folder) };
  for (const part of ['status', 'ghost_text', 'writing', 'switches', 'processes']) {
    const { default: tests } = await import(`./e2e/${part}.mjs`);
    await tests(fixture);
  }
  code = harness.finish();
} catch (error) {
  console.error(error);
} finally {
  if (code !== 0) {
    keepLogs(process.env.FORETYPE_FAILURES);
  }
  await stop();
}
process.exit(code);
