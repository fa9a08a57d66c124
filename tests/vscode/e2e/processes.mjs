// The server's life: one per window, again after a crash, none after the window.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { equal, wait } from '../harness.mjs';
import { withGhost } from './pattern.mjs';

export default async function ({ harness, window, codeServer, binary, servers }) {
  const { test } = harness;

  const another = (old) => wait('another server', () => servers().length === 1 && servers()[0] !== old);

  const restart = async () => {
    const [old] = servers();
    await window.command('Foretype: Restart the Server');
    await another(old);
    await window.waitStatus('ready');
  };

  await test('restarting ends the old server and starts another', async () => {
    await window.waitStatus('ready');
    await restart();
    await withGhost(window, 'restarted.py');
    await window.press('Escape');
  });

  await test('a server that crashes is started again, without a message', async () => {
    const [old] = servers();
    process.kill(old, 'SIGKILL');
    await another(old);
    await window.waitStatus('ready');
    await withGhost(window, 'crashed.py');
    equal(await window.notifications.count(), 0, 'messages');
  });

  await test('a server that crashes again and again is given up, until the user restarts it', async () => {
    await restart();
    // How often it is tried is for a unit test: a crash at the start may count twice.
    await wait('the end of all attempts', async () => {
      servers().forEach((server) => process.kill(server, 'SIGKILL'));
      return (await window.statusText()).includes('crashed again and again');
    });
    equal(servers().length, 0, 'servers');
    equal(await window.notifications.count(), 0, 'messages');
    await window.command('Foretype: Restart the Server');
    await window.waitStatus('ready');
  });

  await test('a program that is no server ends in the failed state, without a message', async () => {
    codeServer.writeServer('/bin/false');
    await window.waitStatus('crashed again and again');
    await window.shoot('failed');
    equal(await window.notifications.count(), 0, 'messages');
    codeServer.writeServer(binary);
    await window.waitStatus('ready');
  });

  await test('a server that dies when it has just answered is given up too', async () => {
    const dying = join(codeServer.folder, 'dying');
    const answer = JSON.stringify({ jsonrpc: '2.0', id: 0, result: { capabilities: {} } });
    const say = `printf 'Content-Length: %d\\r\\n\\r\\n%s' ${answer.length} '${answer}'`;
    // Nobody hears what the window says next, and the connection ends later.
    writeFileSync(dying, `#!/bin/sh\nhead -c 1 >/dev/null\nexec <&-\n${say}\nsleep 0.3\n`, { mode: 0o755 });
    codeServer.writeServer(dying);
    await window.waitStatus('crashed again and again');
    codeServer.writeServer(binary);
    await window.waitStatus('ready');
  });

  await test('no server is left after the window', async () => {
    equal(servers().length, 1, 'servers');
    await window.page.goto('about:blank');
    await wait('the server to end', () => servers().length === 0);
  });
}
