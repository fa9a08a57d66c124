import assert from 'node:assert/strict';
import { test } from 'node:test';
import { written } from '../src/written';

test('a default is not sent', () => {
  assert.equal(written({ defaultValue: 64 }), undefined);
});

test('the narrowest place wins, whatever its value', () => {
  assert.equal(written({ defaultValue: 64, globalValue: 32, workspaceValue: 16 }), 16);
  assert.equal(written({ globalValue: true, workspaceFolderValue: false }), false);
});

test('tables are put together, lists are not', () => {
  const [globalValue, workspaceValue] = [{ python: false, rust: true }, { rust: false }];
  assert.deepEqual(written({ globalValue, workspaceValue }), { python: false, rust: false });
  assert.deepEqual(written({ globalValue: ['a'], workspaceValue: ['b'] }), ['b']);
});
