--- Which buffers get Foretype: normal files that are not too large, and whether it is switched on for them.

local config = require('foretype.config')

local M = {}

local globally_on = true
local filetype_on = {} ---@type table<string, boolean>

--- Whether the server should know this buffer.
---@param buf integer
---@return boolean
function M.is_eligible(buf)
  if not vim.api.nvim_buf_is_valid(buf) or not vim.api.nvim_buf_is_loaded(buf) then
    return false
  end
  local name = vim.api.nvim_buf_get_name(buf)
  -- Two letters at least before the colon: `C:` is a drive, `fugitive:` is not a file.
  if vim.bo[buf].buftype ~= '' or name == '' or name:match('^%a[%w+.-]+:') then
    return false
  end
  local options = config.current.buffers
  if vim.tbl_contains(options.exclude_filetypes, vim.bo[buf].filetype) then
    return false
  end
  if vim.api.nvim_buf_get_offset(buf, vim.api.nvim_buf_line_count(buf)) > options.max_bytes then
    return false
  end
  return not options.filter or options.filter(buf) == true
end

--- Whether suggestions are switched on for this buffer. `b:foretype = false` switches one buffer off.
---@param buf integer
---@return boolean
function M.is_enabled(buf)
  return globally_on and filetype_on[vim.bo[buf].filetype] ~= false and vim.b[buf].foretype ~= false
end

--- Switches a file type, or everything, on or off for this session.
---@param filetype? string
---@return boolean on
function M.toggle(filetype)
  if filetype then
    filetype_on[filetype] = filetype_on[filetype] == false
    return filetype_on[filetype]
  end
  globally_on = not globally_on
  return globally_on
end

return M
