--- Chooses who draws ghost text, and takes the commands that keys and Lua users give.

local compat = require('foretype.compat')
local config = require('foretype.config')

local M = {}

---@return 'own'|'native'
function M.backend()
  -- 'auto' is 'own' on every version so far: Neovim 0.12 waits 200 ms after each key, never cancels, shows outdated
  -- text in between and has no partial accept. Whoever combines several servers can ask for 'native'.
  if config.current.ghost_text.backend == 'native' and compat.has_native_inline_completion then
    return 'native'
  end
  return 'own'
end

local function current()
  return require('foretype.ghost.' .. M.backend())
end

---@return boolean
function M.is_visible()
  return current().is_visible()
end

--- Inserts; accept() calls it through keys.
---@param part 'all'|'word'|'line'
function M.insert(part)
  current().accept(part)
end

--- Takes the suggestion if there is one on the screen.
---@param part 'all'|'word'|'line'
---@return boolean taken
function M.accept(part)
  if not M.is_visible() then
    return false
  end
  -- `<C-g>u` on both sides makes the inserted text an undo step of its own, and as keys all three run in order and
  -- before whatever the user has typed ahead.
  local keys = ('<C-g>u<Cmd>lua require("foretype.ghost").insert("%s")<CR><C-g>u'):format(part)
  vim.api.nvim_feedkeys(vim.keycode(keys), 'in', false)
  return true
end

---@return boolean dismissed false where nothing was shown
function M.dismiss()
  if not M.is_visible() then
    return false
  end
  current().dismiss()
  return true
end

---@param step 1|-1
---@return boolean cycled false where nothing was shown
function M.cycle(step)
  if not M.is_visible() then
    return false
  end
  current().cycle(step)
  return true
end

---@return boolean
function M.trigger()
  current().trigger()
  return true
end

--- Looks anew at what may be shown, after something was switched on or off.
function M.refresh()
  current().reset()
  if vim.api.nvim_get_mode().mode:sub(1, 1) == 'i' then
    current().update()
  end
end

---@param group integer
function M.enable(group)
  local view = require('foretype.ghost.view')
  view.define_highlight()
  vim.api.nvim_create_autocmd('ColorScheme', { group = group, callback = view.define_highlight })
  current().enable(group)
end

--- Called for each buffer that a server takes.
---@param client_id integer
function M.on_attach(client_id)
  if compat.has_native_inline_completion then
    -- A user who has switched Neovim's inline completion on for another server would see our suggestions twice.
    vim.lsp.inline_completion.enable(M.backend() == 'native', { client_id = client_id })
  end
end

return M
