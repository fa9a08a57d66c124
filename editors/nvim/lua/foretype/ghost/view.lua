--- Draws ghost text with extmarks: the screen shows exactly what the buffer would show after accepting.

local M = {}

local namespace = vim.api.nvim_create_namespace('foretype.ghost')
local HIGHLIGHT = 'ForetypeGhostText'

local drawn_in ---@type integer?

--- The default colour; a colour scheme or the user may set the group.
function M.define_highlight()
  local link = vim.fn.hlexists('ComplHint') == 1 and 'ComplHint' or 'Comment'
  vim.api.nvim_set_hl(0, HIGHLIGHT, { default = true, link = link })
end

function M.clear()
  if drawn_in and vim.api.nvim_buf_is_valid(drawn_in) then
    vim.api.nvim_buf_clear_namespace(drawn_in, namespace, 0, -1)
  end
  drawn_in = nil
end

--- Virtual text does not expand tabs, so they are expanded here as the buffer would show them.
---@param text string
---@param column integer screen column at which it starts
---@param tabstop integer
---@return string
function M.expand_tabs(text, column, tabstop)
  local parts = {}
  for piece, tab in text:gmatch('([^\t]*)(\t?)') do
    parts[#parts + 1] = piece
    column = column + vim.api.nvim_strwidth(piece)
    if tab ~= '' then
      local width = tabstop - column % tabstop
      parts[#parts + 1] = (' '):rep(width)
      column = column + width
    end
  end
  return table.concat(parts)
end

--- Draws `rest` at the cursor.
---@param buf integer
---@param row integer cursor row from 0
---@param col integer cursor column in bytes from 0
---@param rest string what would be inserted
---@param replaced string text behind the cursor that would go away
---@param after string the rest of the line behind that
function M.draw(buf, row, col, rest, replaced, after)
  M.clear()
  local tabstop = vim.bo[buf].tabstop
  local line = vim.api.nvim_buf_get_lines(buf, row, row + 1, false)[1]
  local column = vim.fn.strdisplaywidth(line:sub(1, col))
  local lines = vim.split(rest, '\n', { plain = true })
  if #lines == 1 and replaced ~= '' and vim.endswith(rest, replaced) then
    -- The usual case within brackets: what would be replaced comes back at the end, so only the new part is drawn.
    lines[1] = rest:sub(1, #rest - #replaced)
    replaced = ''
  end
  local first = M.expand_tabs(lines[1], column, tabstop)
  local mark = { hl_mode = 'combine', virt_text = { { first, HIGHLIGHT } }, virt_text_pos = 'inline' }
  local last = #lines > 1 and { { M.expand_tabs(lines[#lines], 0, tabstop), HIGHLIGHT } } or mark.virt_text
  if replaced ~= '' or (#lines > 1 and after ~= '') then
    -- The rest of the line moves behind the suggestion: cover it where it stands and draw it where it will be.
    mark.virt_text_pos = 'overlay'
    last[#last + 1] = { after, 'Normal' }
    local covered = vim.fn.strdisplaywidth(replaced .. after, column)
    local drawn = vim.api.nvim_strwidth(first) + (#lines == 1 and vim.api.nvim_strwidth(after) or 0)
    if covered > drawn then
      mark.virt_text[#mark.virt_text + 1] = { (' '):rep(covered - drawn), 'Normal' }
    end
  end
  if #lines > 1 then
    mark.virt_lines = {}
    for index = 2, #lines - 1 do
      mark.virt_lines[index - 1] = { { M.expand_tabs(lines[index], 0, tabstop), HIGHLIGHT } }
    end
    mark.virt_lines[#lines - 1] = last
  end
  vim.api.nvim_buf_set_extmark(buf, namespace, row, col, mark)
  drawn_in = buf
end

return M
