// A window of VS Code, driven by its keys and read from its screen and from disk.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { equal, settled, wait } from './harness.mjs';

const GHOST = '.ghost-text-decoration, .ghost-text';
const ROWS = '.quick-input-widget .quick-input-list .monaco-list-row';

export class Window {
  constructor(page, codeServer, screenshots) {
    this.page = page;
    this.codeServer = codeServer;
    this.screenshots = screenshots;
    this.status = page.locator('.statusbar-item[id="foretype.foretype.status"]');
    this.notifications = page.locator('.notifications-toasts .notification-list-item');
  }

  async load() {
    const { url, workspace } = this.codeServer;
    await this.page.goto(`${url}/?folder=${encodeURIComponent(workspace)}`);
    await this.page.locator('.monaco-workbench .statusbar').waitFor({ timeout: 60000 });
    await this.status.waitFor({ timeout: 60000 });
  }

  press(...keys) {
    return keys.reduce((before, key) => before.then(() => this.page.keyboard.press(key)), Promise.resolve());
  }

  type(text) {
    return this.page.keyboard.type(text, { delay: 20 });
  }

  path(name) {
    return join(this.codeServer.workspace, name);
  }

  /** Writes a file and opens it, with the cursor at its end. */
  async open(name, text) {
    writeFileSync(this.path(name), text);
    await this.press('Control+p');
    await this.page.locator('.quick-input-widget input').first().fill(this.path(name));
    await this.row(name);
    await this.press('Enter');
    await this.editor(name).waitFor();
    await this.press('Control+End');
  }

  editor(name) {
    return this.page.locator(`.monaco-editor.focused[data-uri$="/${name}"]`);
  }

  /** The first row of the quick input, once it has this text. */
  async row(text) {
    const first = this.page.locator(ROWS).first();
    await first.filter({ hasText: text }).waitFor();
    return first;
  }

  /** Runs a command from the palette. */
  async command(title) {
    await this.press('F1');
    await this.page.locator('.quick-input-widget input').first().fill(`>${title}`);
    await this.row(title);
    await this.press('Enter');
  }

  /** Puts the text into the input box that asks for something. */
  async answer(text) {
    const input = this.page.locator('.quick-input-widget .quick-input-message', { hasText: 'What to write' });
    await input.waitFor();
    await this.page.locator('.quick-input-widget input').first().fill(text);
    await this.shoot('input');
    await this.press('Enter');
    await input.waitFor({ state: 'hidden' });
  }

  /** What is shown as ghost text now, '' where nothing is. */
  async ghost() {
    const parts = await this.page.locator(GHOST).allTextContents();
    return parts.join('').replaceAll('\u00a0', ' ').replaceAll('\u00b7', ' ');
  }

  /** Waits for ghost text that stays, and returns it. */
  async waitGhost() {
    await wait('ghost text', () => this.ghost());
    const shown = await settled('ghost text', () => this.ghost());
    return shown || this.waitGhost();
  }

  async waitNoGhost() {
    await wait('the ghost text to go', async () => (await this.ghost()) === '');
  }

  /** Saves the document and returns what is on disk. */
  async saved(name) {
    await this.press('Control+s');
    await this.page.locator('.tab.active.dirty').waitFor({ state: 'detached' });
    return readFileSync(this.path(name), 'utf8');
  }

  /** Waits until the document differs from what is on disk, and that no more is written; saves it. */
  async savedChange(name) {
    const before = readFileSync(this.path(name), 'utf8');
    await this.page.locator('.tab.active.dirty').waitFor({ timeout: 60000 });
    await wait('the progress to end', async () => (await this.notifications.count()) === 0);
    const after = await this.saved(name);
    return { before, after };
  }

  /** One undo gives back this text. */
  async undoGives(name, text) {
    await this.press('Control+z');
    equal(await this.saved(name), text, 'after one undo');
  }

  /** Waits until the messages on the screen have these buttons and no others. */
  async waitButtons(labels) {
    const buttons = this.notifications.locator('.monaco-button');
    await wait(`the buttons ${labels}`, async () => isDeepStrictEqual(await buttons.allTextContents(), labels));
  }

  /** Puts away what a test left on the screen when it failed. */
  async tidy() {
    await this.press('Escape', 'Escape', 'Escape');
    await this.clearMessages();
  }

  async clearMessages() {
    await this.command('Notifications: Clear All');
    await wait('no message', async () => (await this.notifications.count()) === 0);
  }

  async statusText() {
    return (await this.status.locator('a').getAttribute('aria-label')) ?? '';
  }

  /** Waits until the status bar says this. */
  async waitStatus(part, milliseconds = 60000) {
    return wait(`the status "${part}"`, async () => (await this.statusText()).includes(part), milliseconds);
  }

  async shoot(name) {
    if (this.screenshots) {
      mkdirSync(this.screenshots, { recursive: true });
      await this.page.screenshot({ path: join(this.screenshots, `${name.replace(/[^\w.-]+/g, '-')}.png`) });
    }
  }
}
