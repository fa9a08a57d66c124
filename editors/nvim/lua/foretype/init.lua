--- Foretype for Neovim: ghost text and code from a small model that runs on this machine.

local config = require('foretype.config')
local ghost = require('foretype.ghost')
local keys = require('foretype.keys')
local log = require('foretype.log')
local server = require('foretype.server')

local M = {}

local is_set_up = false

---@param buf integer
local function attach_soon(buf)
  -- Later, so that the file type is known and the window is shown before a process is started.
  vim.schedule(function()
    server.attach(buf)
  end)
end

local function enable()
  local group = vim.api.nvim_create_augroup('foretype', { clear = true })
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, callback = callback })
  end
  on({ 'BufReadPost', 'BufNewFile', 'BufFilePost', 'FileType' }, function(event)
    attach_soon(event.buf)
  end)
  on('LspAttach', function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == 'foretype' then
      ghost.on_attach(client.id)
      keys.map(event.buf)
      -- A model may be asked for by the user who is typing already.
      vim.schedule(ghost.refresh)
    end
  end)
  on('LspDetach', function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == 'foretype' then
      keys.unmap(event.buf)
    end
  end)
  ghost.enable(group)
  for _, buf in ipairs(vim.api.nvim_list_bufs()) do
    attach_soon(buf)
  end
end

--- Sets the options. Optional: without it the plugin starts with its defaults. May be called again; then a server
--- whose own options have changed is started anew.
---@param options? table see |foretype-options|
function M.setup(options)
  local merged, problems = config.merge(options)
  for _, problem in ipairs(problems) do
    log.tell_once(problem .. ' (see :help foretype-options)', vim.log.levels.WARN)
  end
  if is_set_up then
    ghost.refresh()
  end
  keys.unmap_all()
  local server_changed = is_set_up and not vim.deep_equal(merged.server, config.current.server)
  config.current = merged
  is_set_up = true
  enable()
  if server_changed then
    server.restart()
    return
  end
  for _, client in ipairs(server.clients()) do
    ghost.on_attach(client.id)
    for buf in pairs(client.attached_buffers) do
      keys.map(buf)
    end
  end
end

--- Starts with the defaults unless setup() was called.
function M.ensure_setup()
  if not is_set_up then
    M.setup()
  end
end

--- Takes the suggestion on the screen, all of it or its next word or line.
---@param part? 'all'|'word'|'line'
---@return boolean taken false where nothing is shown, so that a mapping can do something else
function M.accept(part)
  return ghost.accept(part or 'all')
end

--- Whether ghost text is on the screen.
---@return boolean
function M.is_visible()
  return ghost.is_visible()
end

--- Hides the suggestion until the text changes.
function M.dismiss()
  ghost.dismiss()
end

function M.next()
  ghost.cycle(1)
end

function M.previous()
  ghost.cycle(-1)
end

--- Asks for a suggestion now.
function M.trigger()
  ghost.trigger()
end

--- Writes code for an instruction at the cursor, or in place of `lines` (from 1, both included).
---@param instruction string
---@param lines? { first: integer, last: integer }
function M.generate(instruction, lines)
  require('foretype.generate').generate(instruction, lines)
end

--- A short text for a statusline; see |foretype-status|.
---@param buf? integer
---@return string
function M.status(buf)
  return require('foretype.status').line(buf)
end

--- What the server last said about itself: { state, message, model?, progress? }.
---@param buf? integer
---@return foretype.Status
function M.status_info(buf)
  return require('foretype.status').get(buf)
end

--- Prints the state of the server of this buffer.
function M.print_status()
  local buf = vim.api.nvim_get_current_buf()
  local client = server.client(buf)
  local status = M.status_info(buf)
  local parts = { 'Foretype: ' .. status.state }
  if status.message ~= '' then
    parts[#parts + 1] = status.message
  end
  if status.model then
    parts[#parts + 1] = 'model ' .. status.model
  end
  if not client then
    parts[#parts + 1] = 'not attached to this buffer'
  elseif not require('foretype.buffers').is_enabled(buf) then
    parts[#parts + 1] = 'switched off for this buffer'
  end
  vim.api.nvim_echo({ { table.concat(parts, ', ') } }, true, {})
end

--- Switches suggestions on or off: for a file type, or everywhere.
---@param filetype? string
---@return boolean on
function M.toggle(filetype)
  local on = require('foretype.buffers').toggle(filetype)
  ghost.refresh()
  vim.cmd('redrawstatus')
  log.tell(('suggestions are %s%s'):format(on and 'on' or 'off', filetype and ' for ' .. filetype or ''))
  return on
end

function M.start()
  server.start()
end

function M.stop()
  ghost.refresh()
  server.stop()
end

function M.restart()
  ghost.refresh()
  server.restart()
end

return M
