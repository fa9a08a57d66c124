-- Defines :Foretype and starts the plugin with its defaults where the user's configuration has not called setup().

if vim.g.loaded_foretype then
  return
end
vim.g.loaded_foretype = true

if vim.fn.has('nvim-0.10') == 0 then
  vim.notify('Foretype needs Neovim 0.10 or newer.', vim.log.levels.ERROR)
  return
end

vim.api.nvim_create_user_command('Foretype', function(command)
  require('foretype.commands').run(command)
end, {
  nargs = '*',
  range = true,
  desc = 'Foretype: ghost text and code from a model on this machine',
  complete = function(lead, line)
    return require('foretype.commands').complete(lead, line)
  end,
})

-- setup() usually runs after this file (plugin managers source plugin/ first), so the defaults wait for the end of startup.
local function start_with_defaults()
  require('foretype').ensure_setup()
end
if vim.v.vim_did_enter == 1 then
  vim.schedule(start_with_defaults)
else
  vim.api.nvim_create_autocmd('VimEnter', { once = true, callback = start_with_defaults })
end
