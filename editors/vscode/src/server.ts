// Starts and stops the server, and knows what it is at.
import { EventEmitter, workspace, type ConfigurationChangeEvent, type Disposable, type LogOutputChannel } from 'vscode';
import { DidChangeConfigurationNotification, State } from 'vscode-languageclient/node';
import { findBinary, surroundings } from './binary';
import { makeClient, type Client } from './client';
import { MissingProgram } from './missingProgram';
import { Restarts } from './restarts';
import { ownSettings, SECTION } from './settings';
import type { Status } from './status';

/** Milliseconds that the server has to end by itself. */
const PATIENCE_MS = 2000;

export class Server implements Disposable {
  private readonly statusChanged = new EventEmitter<Status>();
  readonly onDidChangeStatus = this.statusChanged.event;
  private readonly missing: MissingProgram;
  private readonly settingsChanged: Disposable;
  private current: Status = { state: 'starting', message: '', model: '' };
  private running: Client | undefined;
  /** Starts and stops come one after the other. */
  private last: Promise<void> = Promise.resolve();

  constructor(
    private readonly extensionPath: string,
    private readonly log: LogOutputChannel,
  ) {
    this.missing = new MissingProgram();
    this.settingsChanged = workspace.onDidChangeConfiguration((event) => this.settingsDiffer(event));
  }

  get status(): Status {
    return this.current;
  }

  /** The client, where a server is there to be asked. */
  get client(): Client | undefined {
    return this.running?.state === State.Running ? this.running : undefined;
  }

  /** The program, or undefined after the user was told that it is missing. */
  binary(): string | undefined {
    const found = findBinary(surroundings(ownSettings().serverPath, this.extensionPath));
    if ('path' in found) {
      return found.path;
    }
    this.fail(`${found.problem}; install it or name it in the setting foretype.server.path`);
    this.missing.tell(found.problem);
    return undefined;
  }

  start(): Promise<void> {
    return this.inTurn(() => this.startNow(new Restarts()));
  }

  stop(): Promise<void> {
    return this.inTurn(() => this.stopNow());
  }

  restart(): Promise<void> {
    return this.inTurn(async () => {
      await this.stopNow();
      await this.startNow(new Restarts());
    });
  }

  dispose(): void {
    this.settingsChanged.dispose();
    void this.stop().then(() => this.statusChanged.dispose());
  }

  private settingsDiffer(event: ConfigurationChangeEvent): void {
    if (event.affectsConfiguration(`${SECTION}.enable`) || event.affectsConfiguration(`${SECTION}.server`)) {
      void this.restart();
    } else if (event.affectsConfiguration(SECTION)) {
      // The server asks for them then.
      void this.client?.sendNotification(DidChangeConfigurationNotification.type, { settings: null });
    }
  }

  private inTurn(step: () => Promise<void>): Promise<void> {
    this.last = this.last.then(step).catch((error: unknown) => this.fail(String(error)));
    return this.last;
  }

  private async startNow(restarts: Restarts): Promise<void> {
    const own = ownSettings();
    if (!own.enable) {
      this.set({ state: 'off', message: 'switched off', model: '' });
      return;
    }
    const binary = this.binary();
    if (binary === undefined) {
      return;
    }
    const crashed = () => void this.inTurn(() => this.startAgain(client, restarts));
    const client: Client = makeClient({ binary, arguments: own.serverArguments, log: this.log, crashed });
    // What a client that ended still had to say would hide what came of it.
    const set = (status: Status) => {
      if (this.running === client) {
        this.set(status);
      }
    };
    client.onNotification('foretype/status', set);
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Starting) {
        set({ state: 'starting', message: '', model: '' });
      }
    });
    this.running = client;
    await client.start().catch((error: unknown) => {
      // All that is told of a server that dies when it has just answered; of others that the connection ended, too.
      this.log.error(`${binary} does not start: ${reason(error)}`);
      crashed();
    });
  }

  /** After a crash, with a new client, unless this one was stopped or another took its place meanwhile. */
  private async startAgain(crashed: Client, restarts: Restarts): Promise<void> {
    if (this.running !== crashed) {
      return;
    }
    this.running = undefined;
    if (restarts.mayRestart(Date.now())) {
      await this.startNow(restarts);
    } else {
      this.fail('the server crashed again and again; the log says why, and it can be restarted');
    }
  }

  private async stopNow(): Promise<void> {
    const client = this.running;
    this.running = undefined;
    // A client that is not running throws.
    await client?.dispose(PATIENCE_MS).catch((error: unknown) => this.log.debug(String(error)));
  }

  private fail(message: string): void {
    this.log.error(message);
    this.set({ state: 'failed', message, model: '' });
  }

  private set(status: Status): void {
    if (status.state !== this.current.state) {
      this.log.debug(`${status.state} ${status.message}`);
    }
    this.current = status;
    this.statusChanged.fire(status);
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
