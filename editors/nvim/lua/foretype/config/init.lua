--- The options of setup(): merges what the user gave over the defaults and names whatever is wrong with it.
--- Each group of options has a file of its own here, with the type, the default and the check of each field.

local M = {}

---@class foretype.Field
---@field default any
---@field check string|string[]|fun(value: any): boolean type name, type names, or a predicate
---@field says? string what a correct value is, for a predicate's message

---@class foretype.Config
---@field server foretype.ServerOptions
---@field ghost_text foretype.GhostTextOptions
---@field keys foretype.KeyOptions
---@field buffers foretype.BufferOptions

---@type table<string, table<string, foretype.Field>>
local groups = {
  server = require('foretype.config.server'),
  ghost_text = require('foretype.config.ghost_text'),
  keys = require('foretype.config.keys'),
  buffers = require('foretype.config.buffers'),
}

---@param field foretype.Field
---@param value any
---@return string? complaint
local function complaint(field, value)
  local check = field.check
  if type(check) == 'function' then
    return not check(value) and ('must be ' .. field.says) or nil
  end
  local names = type(check) == 'table' and check or { check }
  if vim.tbl_contains(names, type(value)) then
    return nil
  end
  return ('must be a %s, not a %s'):format(table.concat(names, ' or '), type(value))
end

---@param known table<string, any>
---@return string
local function names_of(known)
  local names = vim.tbl_keys(known)
  table.sort(names)
  return table.concat(names, ', ')
end

--- The defaults alone.
---@return foretype.Config
function M.defaults()
  local config = {}
  for name, fields in pairs(groups) do
    config[name] = {}
    for key, field in pairs(fields) do
      config[name][key] = vim.deepcopy(field.default)
    end
  end
  return config
end

--- What the user gave over the defaults. A wrong value keeps its default, so that one typing mistake does not
--- take the whole plugin away; `problems` says what was wrong, one line each.
---@param given table?
---@return foretype.Config config, string[] problems
function M.merge(given)
  local config, problems = M.defaults(), {}
  local function complain(path, text)
    problems[#problems + 1] = ('option `%s` %s'):format(path, text)
  end
  for group, options in pairs(given or {}) do
    local fields = groups[group]
    if not fields then
      complain(group, 'is unknown; there are: ' .. names_of(groups))
    elseif type(options) ~= 'table' then
      complain(group, 'must be a table, not a ' .. type(options))
    else
      for key, value in pairs(options) do
        local path = group .. '.' .. key
        local field = fields[key]
        if not field then
          complain(path, 'is unknown; there are: ' .. names_of(fields))
        else
          local wrong = complaint(field, value)
          if wrong then
            complain(path, wrong)
          else
            config[group][key] = value
          end
        end
      end
    end
  end
  table.sort(problems)
  return config, problems
end

---@type foretype.Config
M.current = M.defaults()

return M
