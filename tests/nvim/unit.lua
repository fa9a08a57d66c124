-- Unit tests of the modules that keep no editor state. Run by `nvim -l`.

local here = vim.fs.dirname(vim.uv.fs_realpath(debug.getinfo(1, 'S').source:sub(2)))
package.path = here .. '/?.lua;' .. package.path
local plugin = vim.fs.joinpath(here, '../../editors/nvim')
vim.opt.runtimepath:prepend(plugin)

local harness = require('harness')
local test, equal = harness.test, harness.equal
local version = vim.version()
harness.set_label(('unit, Neovim %d.%d.%d'):format(version.major, version.minor, version.patch))

local suggestion = require('foretype.ghost.suggestion')

--- `at` is the line that was asked about, `$0` the cursor; `now` the lines and the cursor as they are later.
local function check_remaining(at, item, now, expected)
  local col = at:find('$0', 1, true) - 1
  local line = at:gsub('%$0', '')
  local anchor = { buf = 1, row = 3, col = col, line = line, line_count = 10 }
  if item.from then
    item.range = { start = { line = 3, character = item.from }, ['end'] = { line = 3, character = item.to } }
  end
  local made = suggestion.new(item, anchor, 'utf-16')
  if not made then
    equal(nil, expected)
    return
  end
  local lines = vim.split(now, '\n', { plain = true })
  local cursor = lines[#lines]:find('$0', 1, true) - 1
  lines[#lines] = lines[#lines]:gsub('%$0', '')
  equal(suggestion.remaining(made, 1, 2 + #lines, cursor, lines, 9 + #lines), expected)
end

test('what remains of a suggestion after typing on', function()
  check_remaining('def f$0', { insertText = 'oo()' }, 'def f$0', 'oo()')
  check_remaining('def f$0', { insertText = 'oo()' }, 'def foo$0', '()')
  check_remaining('def f$0', { insertText = 'oo()' }, 'def fx$0', nil)
  check_remaining('def f$0', { insertText = 'oo()' }, 'def foo()$0', nil)
  check_remaining('def f$0', { insertText = 'oo()' }, 'def $0', nil)
  check_remaining('def f$0', { insertText = 'oo()' }, 'dex f$0', nil)
  check_remaining('f($0)', { insertText = 'a, b' }, 'f(a$0)', ', b')
  check_remaining('f($0)', { insertText = 'a, b' }, 'f(a$0))', nil)
  check_remaining('if x:$0', { insertText = '\n    y()' }, 'if x:\n    $0', 'y()')
  check_remaining('if x:$0', { insertText = '\r\n    y()' }, 'if x:\n    $0', 'y()')
end)

test('ranges of items: before the cursor, behind it, elsewhere', function()
  check_remaining('x = fo$0', { insertText = 'foo()', from = 4, to = 6 }, 'x = fo$0', 'o()')
  check_remaining('x = fo$0', { insertText = 'bar()', from = 4, to = 6 }, 'x = fo$0', nil)
  check_remaining('f($0)', { insertText = 'a)', from = 2, to = 3 }, 'f($0)', 'a)')
  check_remaining('f($0)', { insertText = 'a)', from = 0, to = 1 }, 'f($0)', nil)
  check_remaining('"😀é" + $0', { insertText = 'x', from = 8, to = 8 }, '"😀é" + $0', 'x')
  check_remaining('a$0', { insertText = { kind = 'snippet', value = 'x' } }, 'a$0', nil)
end)

test('first word and first line', function()
  local function check(text, word, line)
    equal(suggestion.first_word(text), word)
    equal(suggestion.first_line(text), line)
  end
  check('foo_bar(1)', 'foo_bar', 'foo_bar(1)')
  check('(1, 2)', '(', '(1, 2)')
  check('  return x', '  return', '  return x')
  check('\n    return x\n', '\n    return', '\n    return x')
  check('größe😀 x', 'größe😀', 'größe😀 x')
  check('a\nb', 'a', 'a')
  check('  ', '  ', '  ')
end)

test('accepted length counts UTF-16 units from the start of the item', function()
  local function check(text, rest, expected)
    local anchor = { buf = 1, row = 0, col = 0, line = '', line_count = 1 }
    local made = assert(suggestion.new({ insertText = text }, anchor, 'utf-16'))
    equal(suggestion.accepted_length(made, rest), expected)
  end
  check('abc def', ' def', 3)
  check('"😀" + x', ' + x', 4)
  check('a\r\nb c', ' c', 4)
end)

test('tabs in ghost text are as wide as in the buffer', function()
  local expand = require('foretype.ghost.view').expand_tabs
  equal(expand('\tx', 0, 4), '    x')
  equal(expand('\tx', 3, 4), ' x')
  equal(expand('ab\tc\t', 0, 4), 'ab  c   ')
  equal(expand('é\t', 0, 4), 'é   ')
  equal(expand('plain', 7, 8), 'plain')
end)

test('positions in every encoding', function()
  local compat = require('foretype.compat')
  local line = 'aé😀z'
  for encoding, characters in pairs({ ['utf-8'] = 7, ['utf-16'] = 4, ['utf-32'] = 3 }) do
    equal(compat.character_index(line, encoding, 7), characters, encoding)
    equal(compat.byte_index(line, encoding, characters), 7, encoding)
    equal(compat.byte_index(line, encoding, 99), #line, encoding)
  end
  equal(compat.utf16_length(line), 5)
end)

test('options: defaults stay where the given ones are wrong, and each mistake is named', function()
  local config = require('foretype.config')
  local merged, problems = config.merge({
    ghost_text = { debounce_ms = 'fast', backend = 'own', sparkles = true },
    keys = { accept = false, accept_word = { '<C-f>', '<C-g>' } },
    sever = {},
  })
  equal(merged.ghost_text.debounce_ms, config.defaults().ghost_text.debounce_ms)
  equal(merged.ghost_text.backend, 'own')
  equal(merged.keys.accept, false)
  equal(merged.keys.accept_word, { '<C-f>', '<C-g>' })
  equal(#problems, 3)
  harness.truthy(problems[1]:find('ghost_text.debounce_ms', 1, true), problems[1])
  harness.truthy(problems[2]:find('ghost_text.sparkles', 1, true), problems[2])
  harness.truthy(problems[3]:find('`sever` is unknown', 1, true), problems[3])
  equal(({ config.merge(nil) })[2], {})
end)

test('sub-commands and file types are completed', function()
  local commands = require('foretype.commands')
  equal(commands.complete('st', 'Foretype st'), { 'start', 'status', 'stop' })
  equal(commands.complete('g', "'<,'>Foretype g"), { 'generate' })
  equal(commands.complete('', 'Foretype log '), {})
  harness.truthy(vim.tbl_contains(commands.complete('pyth', 'Foretype toggle pyth'), 'python'), 'python is missing')
end)

test('the help file: every tag is unique, every option, key and sub-command is described', function()
  local directory = vim.fn.tempname()
  vim.fn.mkdir(directory .. '/doc', 'p')
  vim.uv.fs_copyfile(plugin .. '/doc/foretype.txt', directory .. '/doc/foretype.txt')
  vim.cmd.helptags(directory .. '/doc')
  local help = table.concat(vim.fn.readfile(plugin .. '/doc/foretype.txt'), '\n')
  for group, fields in pairs(require('foretype.config').defaults()) do
    for key in pairs(fields) do
      harness.truthy(help:find(('*foretype-%s.%s*'):format(group, key), 1, true), ('no help for %s.%s'):format(group, key))
    end
  end
  for _, name in ipairs(require('foretype.commands').complete('', 'Foretype ')) do
    harness.truthy(help:find((':Foretype-%s*'):format(name), 1, true), 'no help for :Foretype ' .. name)
  end
end)

harness.finish()
