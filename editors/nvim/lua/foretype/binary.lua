--- Finds the program: what the user named, else `foretype` on PATH, else where `cargo install` puts it.

local config = require('foretype.config')

local M = {}

M.hint = 'install it with `cargo install --path .` in the Foretype repository, or name it: '
  .. 'require("foretype").setup({ server = { cmd = "/path/to/foretype" } })'

---@return string[]? command to start the server
---@return string? problem
function M.command()
  local cmd = config.current.server.cmd
  if type(cmd) == 'table' then
    if vim.fn.executable(cmd[1]) == 1 then
      return cmd
    end
    return nil, ('`%s` (option server.cmd) is not a program that can be run'):format(cmd[1])
  end
  if cmd then
    local path = vim.fn.expand(cmd)
    if vim.fn.executable(path) == 1 then
      return { path, 'serve' }
    end
    return nil, ('`%s` (option server.cmd) is not a program that can be run'):format(path)
  end
  local on_path = vim.fn.exepath('foretype')
  if on_path ~= '' then
    return { on_path, 'serve' }
  end
  local cargo_home = vim.env.CARGO_HOME or vim.fs.joinpath(vim.uv.os_homedir() or '', '.cargo')
  local installed = vim.fs.joinpath(cargo_home, 'bin', 'foretype')
  if vim.fn.executable(installed) == 1 then
    return { installed, 'serve' }
  end
  return nil, 'there is no program `foretype` on PATH nor in ' .. vim.fs.dirname(installed)
end

return M
