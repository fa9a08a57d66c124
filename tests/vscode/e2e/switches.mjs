// Switched off and on, and a server that is not there.
import { readFileSync } from 'node:fs';
import { equal, pause, truthy, wait } from '../harness.mjs';
import { pattern, typed } from './pattern.mjs';

/** Far longer than a suggestion takes. */
const LONG_ENOUGH_MS = 1500;

export default async function ({ harness, window, codeServer, binary, servers }) {
  const { test } = harness;

  await test('a disabled language shows no ghost text until it is enabled again', async () => {
    await window.open('language.py', pattern);
    await window.command('Foretype: Toggle for This Language');
    await window.waitStatus('disabled for python');
    const written = JSON.parse(readFileSync(codeServer.settingsFile, 'utf8'));
    equal(written['foretype.languages'], { python: false }, 'setting');
    await window.type(typed);
    await pause(LONG_ENOUGH_MS);
    equal(await window.ghost(), '', 'ghost text');
    await window.shoot('language-disabled');
    await window.command('Foretype: Toggle for This Language');
    await window.waitStatus('ready');
    await window.type('ert');
    await window.waitGhost();
    await window.press('Escape');
  });

  await test('switched off everywhere, no server runs; switched on, one does', async () => {
    await window.command('Foretype: Toggle Everywhere');
    await window.waitStatus('switched off');
    await wait('the server to end', () => servers().length === 0);
    await window.command('Foretype: Toggle Everywhere');
    await window.waitStatus('ready');
    equal(servers().length, 1, 'servers');
  });

  await test('picking a model writes the setting', async () => {
    await window.command('Foretype: Pick a Model');
    await window.page.locator('.quick-input-widget input[placeholder="Model"]').waitFor();
    await window.row('foretype-135m');
    await window.shoot('models');
    await window.press('Enter');
    await wait('the setting', () => readFileSync(codeServer.settingsFile, 'utf8').includes('"foretype.model": "foretype-135m"'));
    await window.waitStatus('ready');
  });

  await test('a missing server is told once, with what to do, and the status bar shows it', async () => {
    codeServer.writeServer('/nowhere/foretype');
    await window.waitStatus('failed: `/nowhere/foretype`');
    await window.notifications.filter({ hasText: 'not a program that can be run' }).waitFor();
    await window.waitButtons(['Open Settings', 'How to Install']);
    truthy((await window.status.getAttribute('class')).includes('has-background-color'), 'no colour of an error');
    await window.shoot('missing');
    await window.clearMessages();
    await window.command('Foretype: Restart the Server');
    await window.waitStatus('failed');
    equal(await window.notifications.count(), 0, 'messages after a second attempt');
    codeServer.writeServer(binary);
    await window.waitStatus('ready');
  });
}
