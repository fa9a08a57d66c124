--- What the servers last said about themselves (`foretype/status`), as data, as a line for statuslines, and as an event.

local log = require('foretype.log')

local M = {}

---@class foretype.Status
---@field state 'stopped'|'starting'|'loading'|'ready'|'busy'|'disabled'|'failed'
---@field message string
---@field model? string
---@field progress? number

local by_client = {} ---@type table<integer, foretype.Status>

--- JSON null becomes nil, so that readers need one test only.
local function present(value)
  if value == vim.NIL then
    return nil
  end
  return value
end

---@param client_id integer
---@param new foretype.Status?
function M.set(client_id, new)
  local old = by_client[client_id]
  by_client[client_id] = new
  if new then
    if not old or old.state ~= new.state or old.message ~= new.message then
      log.add(('status: %s %s'):format(new.state, new.message))
    end
    if new.state == 'failed' then
      log.tell_once(new.message .. ' (see :Foretype log and :checkhealth foretype)', vim.log.levels.ERROR)
    end
  end
  vim.api.nvim_exec_autocmds('User', { pattern = 'ForetypeStatus', modeline = false, data = new or { state = 'stopped', message = '' } })
  vim.cmd('redrawstatus')
end

--- Handler of the notification `foretype/status`.
function M.on_notification(_, params, context)
  if type(params) ~= 'table' then
    return
  end
  M.set(context.client_id, {
    state = params.state,
    message = present(params.message) or '',
    model = present(params.model),
    progress = present(params.progress),
  })
end

--- The status of the server of a buffer (of any server, where the buffer has none).
---@param buf? integer
---@return foretype.Status
function M.get(buf)
  local client = require('foretype.server').client(buf or vim.api.nvim_get_current_buf())
  if client then
    return by_client[client.id] or { state = 'starting', message = '' }
  end
  local _, any = next(by_client)
  return any or { state = 'stopped', message = '' }
end

--- A short text for a statusline: `Foretype` when all is well and quiet, else with the state, '' in buffers without it.
---@param buf? integer
---@return string
function M.line(buf)
  buf = buf or vim.api.nvim_get_current_buf()
  if not require('foretype.server').client(buf) then
    return ''
  end
  if not require('foretype.buffers').is_enabled(buf) then
    return 'Foretype off'
  end
  local status = M.get(buf)
  if status.state == 'ready' then
    return 'Foretype'
  end
  if status.progress then
    local percent = status.progress <= 1 and status.progress * 100 or status.progress
    return ('Foretype %s %d/100'):format(status.state, percent) -- no percent sign: 'statusline' would read it as an item
  end
  return 'Foretype ' .. status.state
end

return M
