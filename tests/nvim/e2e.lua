-- End-to-end tests: a child Neovim with the plugin, the real server, the real model. Run by `nvim -l e2e.lua NVIM FORETYPE`.
-- The model writes what it likes: the tests assert that what is shown is what is inserted, never which words.

local here = vim.fs.dirname(vim.uv.fs_realpath(debug.getinfo(1, 'S').source:sub(2)))
package.path = here .. '/?.lua;' .. package.path

local harness = require('harness')
local Child = require('child')

local nvim, foretype = _G.arg[1], _G.arg[2]
local version = vim.version()
harness.set_label(('Neovim %d.%d.%d'):format(version.major, version.minor, version.patch))

---@class Fixture
local fixture = { foretype = foretype, harness = harness, Child = Child }

--- A directory with a repository in it, removed at the end.
local made = {}
function fixture.directory()
  local directory = vim.fn.tempname()
  vim.fn.mkdir(vim.fs.joinpath(directory, '.git'), 'p')
  made[#made + 1] = directory
  return directory
end

--- A child Neovim with a configuration. `setup` is Lua code for the options, or false to leave setup() out.
---@param setup string|false
---@param env? table<string, string>
function fixture.child(setup, env)
  local directory = fixture.directory()
  local plugin = vim.fs.normalize(vim.fs.joinpath(here, '../../editors/nvim'))
  local init = vim.fs.joinpath(directory, '.private', 'init.lua')
  vim.fn.mkdir(vim.fs.dirname(init), 'p')
  -- Python's ftplugin looks for a Python of its own otherwise, which takes a second.
  local code = ('vim.g.loaded_python3_provider = 0\nvim.opt.runtimepath:prepend(%q)\n'):format(plugin)
  if setup then
    code = code .. ('require("foretype").setup(%s)\n'):format(setup)
  end
  vim.fn.writefile(vim.split(code, '\n'), init)
  local file = vim.fs.joinpath(directory, 'first.py')
  vim.fn.writefile({ '# first' }, file)
  return Child.start({ nvim = nvim, init = init, directory = directory, file = file, env = env })
end

--- Options for tests: the given server, and time enough for a loaded machine.
---@param more? string further groups of options
function fixture.options(more)
  return ('{ server = { cmd = %q, settings = { budgetMs = 5000, eagerness = 1, threads = 2 } }, %s }'):format(foretype, more or '')
end

--- Lines that any language model goes on from: a pattern, half-written for the third time.
fixture.pattern = {
  'def test_one():',
  '    assert convert("one", 1) == 1',
  '',
  'def test_two():',
  '    assert convert("two", 2) == 2',
  '',
  'def test_three():',
}
fixture.typed = '    assert conv'

--- Opens the pattern, types its beginning and waits for ghost text. The buffer is frozen then.
---@return string[] view
function fixture.with_ghost(child, name)
  child:open(name, fixture.pattern)
  -- The indentation is typed; Neovim's own would come on top.
  child:lua('vim.bo.autoindent, vim.bo.indentexpr, vim.bo.smartindent = false, "", false')
  child:input('o' .. fixture.typed)
  child:wait_ghost()
  child:freeze()
  child:wait_quiet()
  return child:wait_ghost()
end

for _, part in ipairs({ 'drawing', 'ghost_text', 'keys', 'commands', 'attaching', 'native' }) do
  require('e2e.' .. part)(fixture)
end
for _, directory in ipairs(made) do
  vim.fn.delete(directory, 'rf')
end
harness.finish()
