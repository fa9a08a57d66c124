// The item in the status bar and its menu.
import { equal, wait } from '../harness.mjs';

export default async function ({ harness, window }) {
  const { test } = harness;

  await test('the status bar says that the model is ready, and which', async () => {
    await window.open('status.py', 'x = 1\n');
    await window.waitStatus('Foretype (foretype-135m): ready');
    await wait('no share of the loading', async () => (await window.status.textContent()).trim() === 'Foretype');
    await window.shoot('status-ready');
  });

  await test('a click on it opens the menu', async () => {
    await window.status.click();
    const rows = window.page.locator('.quick-input-widget .quick-input-list .monaco-list-row .label-name');
    await wait('the menu', async () => (await rows.count()) >= 9);
    const labels = (await rows.allTextContents()).map((text) => text.trim());
    const wanted = ['Generate…', 'Document', 'Disable for python', 'Disable everywhere', 'Pick a model…', 'Restart the server',
      'Show log', 'Doctor', 'Settings'];
    equal(labels, wanted, 'entries');
    await window.shoot('menu');
    await window.press('Escape');
  });
}
