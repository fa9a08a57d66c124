import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findBinary, type Surroundings } from '../src/binary';

function find(programs: string[], more: Partial<Surroundings> = {}) {
  return findBinary({
    setting: '',
    extensionPath: '/extension',
    environment: { PATH: '/usr/bin:/opt/bin' },
    home: '/home/me',
    isProgram: (path) => programs.includes(path),
    ...more,
  });
}

test('the bundled program, then PATH in its order, then where cargo installs', () => {
  const all = ['/home/me/.cargo/bin/foretype', '/opt/bin/foretype', '/usr/bin/foretype', '/extension/bin/foretype'];
  for (let count = 1; count <= all.length; count += 1) {
    assert.deepEqual(find(all.slice(0, count)), { path: all[count - 1] });
  }
});

test('CARGO_HOME is honoured', () => {
  const environment = { CARGO_HOME: '/cargo' };
  assert.deepEqual(find(['/cargo/bin/foretype'], { environment }), { path: '/cargo/bin/foretype' });
});

test('what the user named is the only candidate', () => {
  assert.deepEqual(find(['/home/me/foretype'], { setting: ' ~/foretype ' }), { path: '/home/me/foretype' });
  const found = find(['/usr/bin/foretype'], { setting: '/gone' });
  assert.ok('problem' in found && found.problem.includes('`/gone`'));
});

test('a missing program names where it was looked for', () => {
  const found = find([]);
  assert.ok('problem' in found && found.problem.includes('/home/me/.cargo/bin'));
});
