import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseModels } from '../src/models';

test('one model a line', () => {
  const model = { name: 'small', description: 'a model', parameters: '1 M', license: 'MIT', installed: true, supported: true };
  const line = JSON.stringify(model);
  assert.deepEqual(parseModels(`${line}\n${line}\n`), [model, model]);
  assert.deepEqual(parseModels(''), []);
});
