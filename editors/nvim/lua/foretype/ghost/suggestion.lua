--- One suggestion and where it belongs: what is still to be inserted after the user has typed on, and its next word or line.
--- No editor state is kept or read here but the lines that are passed in.

local compat = require('foretype.compat')

local M = {}

--- The text around the cursor when a request was made.
---@class foretype.Anchor
---@field buf integer
---@field row integer from 0
---@field col integer bytes, from 0
---@field line string
---@field line_count integer

---@class foretype.Suggestion
---@field anchor foretype.Anchor
---@field item table the item as the server sent it
---@field text string what is inserted, from `start_col` on
---@field crlf boolean the server's text had CRLF line ends
---@field start_col integer bytes, from 0, in the anchor's line
---@field before string the anchor's line up to `start_col`
---@field replaced string text behind the cursor that the suggestion replaces
---@field after string the rest of the line
---@field shown boolean the server was told that it is on the screen

--- A suggestion from a server's item; nil where the item does not fit the line that was asked about.
---@param item table
---@param anchor foretype.Anchor
---@param encoding string the client's position encoding
---@return foretype.Suggestion?
function M.new(item, anchor, encoding)
  if type(item.insertText) ~= 'string' or item.insertText == '' then
    return nil
  end
  local start_col, end_col = anchor.col, anchor.col
  local range = item.range
  if range and range ~= vim.NIL then
    if range.start.line ~= anchor.row or range['end'].line ~= anchor.row then
      return nil
    end
    start_col = compat.byte_index(anchor.line, encoding, range.start.character)
    end_col = compat.byte_index(anchor.line, encoding, range['end'].character)
    if start_col > anchor.col or end_col < anchor.col then
      return nil
    end
  end
  local text, crlf_count = item.insertText:gsub('\r\n', '\n')
  return {
    anchor = anchor,
    item = item,
    text = text,
    crlf = crlf_count > 0,
    start_col = start_col,
    before = anchor.line:sub(1, start_col),
    replaced = anchor.line:sub(anchor.col + 1, end_col),
    after = anchor.line:sub(end_col + 1),
    shown = false,
  }
end

--- What is still to be inserted at the cursor, given the buffer as it is now; nil where the user has typed something
--- else, moved away, or changed the rest of the line. This is the only test of staleness, and both showing and accepting
--- go through it, so that a suggestion can never be put where it does not belong.
---@param suggestion foretype.Suggestion
---@param buf integer
---@param row integer cursor row from 0
---@param col integer cursor column in bytes from 0
---@param lines string[] the lines of the buffer from the anchor's row to `row`
---@param line_count integer of the buffer
---@return string?
function M.remaining(suggestion, buf, row, col, lines, line_count)
  local anchor = suggestion.anchor
  local added = row - anchor.row
  if buf ~= anchor.buf or added < 0 or #lines ~= added + 1 or line_count ~= anchor.line_count + added then
    return nil
  end
  if lines[#lines]:sub(col + 1) ~= suggestion.replaced .. suggestion.after then
    return nil
  end
  if lines[1]:sub(1, suggestion.start_col) ~= suggestion.before or (added == 0 and col < suggestion.start_col) then
    return nil
  end
  local typed = vim.list_slice(lines)
  typed[#typed] = typed[#typed]:sub(1, col)
  typed[1] = typed[1]:sub(suggestion.start_col + 1)
  local typed_text = table.concat(typed, '\n')
  if #typed_text >= #suggestion.text or not vim.startswith(suggestion.text, typed_text) then
    return nil
  end
  return suggestion.text:sub(#typed_text + 1)
end

--- The first word of a text with the blanks before it: a run of word characters or a run of other signs.
---@param text string
---@return string
function M.first_word(text)
  -- Bytes above 127 count as letters: they are part of a character of several bytes, which must stay whole.
  return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%w_%s\128-\255]+') or text
end

--- The first line of a text without its line end; at a line end, that and the next line.
---@param text string
---@return string
function M.first_line(text)
  return text:match('^\n*[^\n]+') or text
end

--- How much of the server's text is in the buffer, in UTF-16 units from its start, when `rest` is still missing.
---@param suggestion foretype.Suggestion
---@param rest string
---@return integer
function M.accepted_length(suggestion, rest)
  local accepted = suggestion.text:sub(1, #suggestion.text - #rest)
  local length = compat.utf16_length(accepted)
  if suggestion.crlf then
    local _, line_ends = accepted:gsub('\n', '')
    length = length + line_ends
  end
  return length
end

return M
