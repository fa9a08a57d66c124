--- What happened lately (status changes, server messages, exits), and messages to the user that must not repeat.

local M = {}

local KEPT = 300
local entries = {} ---@type string[]
local told = {} ---@type table<string, true>

---@param text string
function M.add(text)
  for line in vim.gsplit(text, '\n', { plain = true, trimempty = true }) do
    entries[#entries + 1] = os.date('%H:%M:%S ') .. line
  end
  if #entries > 2 * KEPT then
    entries = vim.list_slice(entries, #entries - KEPT + 1)
  end
end

---@return string[]
function M.entries()
  return vim.list_slice(entries, math.max(1, #entries - KEPT + 1))
end

---@param text string
---@param level? integer one of vim.log.levels
function M.tell(text, level)
  M.add(text)
  vim.schedule(function()
    vim.notify('Foretype: ' .. text, level or vim.log.levels.INFO)
  end)
end

--- Says the same thing only once a session.
---@param text string
---@param level? integer
function M.tell_once(text, level)
  if told[text] then
    return
  end
  told[text] = true
  M.tell(text, level)
end

---@return string
local function lsp_log_path()
  if vim.lsp.log and vim.lsp.log.get_filename then
    return vim.lsp.log.get_filename()
  end
  return vim.lsp.get_log_path()
end

--- The end of Neovim's LSP log, where the server's stderr goes; only the lines that are about Foretype.
---@return string[]
local function lsp_log_tail()
  local file = io.open(lsp_log_path(), 'r')
  if not file then
    return {}
  end
  local size = file:seek('end')
  file:seek('set', math.max(0, size - 256 * 1024))
  local lines = {}
  for line in file:lines() do
    if line:lower():find('foretype', 1, true) then
      lines[#lines + 1] = (line:gsub('\r', ''))
    end
  end
  file:close()
  return vim.list_slice(lines, math.max(1, #lines - 99))
end

--- Opens a window with the log.
function M.open()
  local lines = { '# Foretype in this session' }
  vim.list_extend(lines, M.entries())
  vim.list_extend(lines, { '', '# What the server wrote to its standard error, from ' .. lsp_log_path() })
  vim.list_extend(lines, lsp_log_tail())
  vim.cmd('botright new')
  local buf = vim.api.nvim_get_current_buf()
  vim.bo[buf].buftype = 'nofile'
  vim.bo[buf].bufhidden = 'wipe'
  vim.bo[buf].swapfile = false
  vim.api.nvim_buf_set_lines(buf, 0, -1, false, lines)
  vim.bo[buf].modifiable = false
  vim.api.nvim_win_set_cursor(0, { #lines, 0 })
end

return M
