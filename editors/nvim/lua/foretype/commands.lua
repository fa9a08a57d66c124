--- The sub-commands of :Foretype and their completion.

local log = require('foretype.log')

local M = {}

---@class foretype.Command
---@field run fun(arguments: string, command: table) the text behind the sub-command; the whole command
---@field complete? fun(lead: string): string[]

---@type table<string, foretype.Command>
local commands = {
  generate = {
    run = function(arguments, command)
      local lines = command.range > 0 and { first = command.line1, last = command.line2 } or nil
      require('foretype.generate').generate(arguments, lines)
    end,
  },
  document = {
    run = function()
      require('foretype.generate').document()
    end,
  },
  cancel = {
    run = function()
      require('foretype.generate').cancel()
    end,
  },
  status = {
    run = function()
      require('foretype').print_status()
    end,
  },
  restart = {
    run = function()
      require('foretype').restart()
    end,
  },
  stop = {
    run = function()
      require('foretype').stop()
    end,
  },
  start = {
    run = function()
      require('foretype').start()
    end,
  },
  toggle = {
    run = function(arguments)
      require('foretype').toggle(arguments ~= '' and arguments or nil)
    end,
    complete = function(lead)
      return vim.fn.getcompletion(lead, 'filetype')
    end,
  },
  log = {
    run = function()
      log.open()
    end,
  },
}

---@return string[]
local function names()
  local sorted = vim.tbl_keys(commands)
  table.sort(sorted)
  return sorted
end

---@param command table as nvim_create_user_command gives it
function M.run(command)
  require('foretype').ensure_setup()
  local name, arguments = command.args:match('^%s*(%S*)%s*(.-)%s*$')
  if name == '' then
    name = 'status'
  end
  local found = commands[name]
  if not found then
    log.tell(('there is no :Foretype %s; there are: %s'):format(name, table.concat(names(), ', ')), vim.log.levels.ERROR)
    return
  end
  found.run(arguments, command)
end

---@param lead string
---@param line string the command line up to the cursor
---@return string[]
function M.complete(lead, line)
  local typed = line:match('Foretype%s+(.*)$') or ''
  local name = typed:match('^(%S+)%s')
  if name then
    local found = commands[name]
    return found and found.complete and found.complete(lead) or {}
  end
  return vim.tbl_filter(function(candidate)
    return vim.startswith(candidate, lead)
  end, names())
end

return M
