--- :checkhealth foretype

local binary = require('foretype.binary')
local compat = require('foretype.compat')
local config = require('foretype.config')
local server = require('foretype.server')

local M = {}

local health = vim.health

---@param command string[]
---@param timeout_ms integer
---@return vim.SystemCompleted? result nil if it could not be run
local function run(command, timeout_ms)
  local ok, process = pcall(vim.system, command, { text = true, env = config.current.server.env })
  return ok and process:wait(timeout_ms) or nil
end

local function check_editor()
  local version = vim.version()
  health.ok(('Neovim %d.%d.%d'):format(version.major, version.minor, version.patch))
  health.info('ghost text is drawn by: ' .. require('foretype.ghost').backend())
  if config.current.ghost_text.backend == 'native' and not compat.has_native_inline_completion then
    health.warn("option ghost_text.backend = 'native' needs Neovim 0.12; the plugin's own ghost text is used")
  end
end

---@return string? program
local function check_binary()
  local command, problem = binary.command()
  if not command then
    health.error(problem, { binary.hint })
    return nil
  end
  if type(config.current.server.cmd) == 'table' then
    health.ok('command: ' .. table.concat(command, ' '))
    return nil -- a whole command may be a wrapper: what else it can do is unknown
  end
  local result = run({ command[1], '--version' }, 5000)
  if not result or result.code ~= 0 then
    health.error(('`%s --version` failed: %s'):format(command[1], result and vim.trim(result.stderr) or 'cannot be run'))
    return nil
  end
  health.ok(('%s: %s'):format(command[1], vim.trim(result.stdout)))
  return command[1]
end

local function check_server()
  local clients = server.clients()
  if #clients == 0 then
    health.info('no server is running; it starts with the first file that is opened')
    return
  end
  for _, client in ipairs(clients) do
    local status = require('foretype.status').get(next(client.attached_buffers))
    local text = ('server for %s: %d buffers, %s %s, positions in %s'):format(
      client.config.root_dir or '?',
      vim.tbl_count(client.attached_buffers),
      status.state,
      status.message,
      client.offset_encoding
    )
    if status.state == 'failed' then
      health.error(text, { ':Foretype log', ':Foretype restart' })
    else
      health.ok(text)
    end
    if not client.server_capabilities.inlineCompletionProvider then
      health.error('this server offers no inline completion: is option server.cmd really Foretype?')
    end
  end
end

--- One line for each plain value of a report, nested names joined by dots.
---@param value any
---@param name string
---@param lines string[]
local function flatten(value, name, lines)
  if type(value) ~= 'table' then
    lines[#lines + 1] = name .. ': ' .. tostring(value)
    return
  end
  if vim.islist(value) and type(value[1]) ~= 'table' then
    lines[#lines + 1] = name .. ': ' .. table.concat(vim.tbl_map(tostring, value), ', ')
    return
  end
  local keys = vim.tbl_keys(value)
  table.sort(keys, function(a, b)
    return tostring(a) < tostring(b)
  end)
  for _, key in ipairs(keys) do
    flatten(value[key], name == '' and tostring(key) or name .. '.' .. key, lines)
  end
end

---@param program string
local function check_doctor(program)
  local command = { program }
  local model = config.current.server.settings.model
  if type(model) == 'string' then
    vim.list_extend(command, { '--model', model }) -- what the server is told by its settings
  end
  local result = run(vim.list_extend(command, { 'doctor', '--json' }), 60000)
  local ok, report = pcall(vim.json.decode, result and result.stdout or '')
  if not ok or type(report) ~= 'table' then
    local said = result and vim.trim(result.stderr) or ''
    health.error('`foretype doctor --json` failed: ' .. said, { 'run `' .. program .. ' doctor` in a terminal' })
    return
  end
  local lines = {}
  flatten(report, '', lines)
  for _, line in ipairs(lines) do
    local is_problem = line:find('^[%w_.]*problem: ') ~= nil
    health[is_problem and 'error' or 'info'](line)
  end
  if result.code ~= 0 then
    health.error(('`foretype doctor` found a problem (exit code %d)'):format(result.code))
  end
end

---@param keys false|string|string[]
---@return string[]
local function key_list(keys)
  return type(keys) == 'table' and keys or keys and { keys } or {}
end

local function check_conflicts()
  local found = false
  for name, keys in pairs(config.current.keys) do
    for _, key in ipairs(key_list(keys)) do
      local mapping = vim.fn.maparg(key, 'i', false, true)
      local desc = mapping.desc or mapping.rhs or 'a Lua function'
      if next(mapping) and not desc:find('^Foretype') then
        found = true
        health.info(('%s (%s) is also mapped: %s. Foretype acts while ghost text is shown, that mapping otherwise'):format(key, name, desc))
      end
    end
  end
  for _, plugin in ipairs({ 'copilot', 'codeium', 'neocodeium', 'supermaven-nvim', 'tabnine', 'llm', 'minuet' }) do
    if package.loaded[plugin] then
      found = true
      health.warn(plugin .. ' is loaded too: two plugins show ghost text at the same place', {
        'switch one of them off, or set ghost_text.automatic = false and use the trigger key',
      })
    end
  end
  if vim.fn.exists('*copilot#Accept') == 1 or vim.g.loaded_copilot then
    found = true
    health.warn('copilot.vim is loaded too: two plugins show ghost text at the same place', {
      'disable it with `let g:copilot_enabled = v:false`, or set ghost_text.automatic = false',
    })
  end
  if not found then
    health.ok('no other plugin shows ghost text or uses the same keys')
  end
end

function M.check()
  require('foretype').ensure_setup()
  health.start('Foretype: editor')
  check_editor()
  health.start('Foretype: program')
  local program = check_binary()
  health.start('Foretype: server')
  check_server()
  if program then
    health.start('Foretype: foretype doctor')
    check_doctor(program)
  end
  health.start('Foretype: other plugins')
  check_conflicts()
end

return M
