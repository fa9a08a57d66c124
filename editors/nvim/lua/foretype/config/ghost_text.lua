--- Options `ghost_text`: how suggestions are asked for and shown.

---@class foretype.GhostTextOptions
---@field automatic boolean ask while typing; false: only on the trigger key
---@field backend 'auto'|'own'|'native' 'native' is vim.lsp.inline_completion of Neovim 0.12
---@field debounce_ms integer how long typing must rest before a request
---@field hide_with_menu boolean hide while the built-in completion menu is open
---@field suppress false|fun(buf: integer): boolean the user's own reason to show nothing now (another plugin's menu is open)

return {
  automatic = { default = true, check = 'boolean' },
  backend = {
    default = 'auto',
    says = "'auto', 'own' or 'native'",
    check = function(value)
      return value == 'auto' or value == 'own' or value == 'native'
    end,
  },
  debounce_ms = {
    default = 20,
    says = 'a number of milliseconds from 0 to 5000',
    check = function(value)
      return type(value) == 'number' and value >= 0 and value <= 5000
    end,
  },
  hide_with_menu = { default = true, check = 'boolean' },
  suppress = {
    default = false,
    says = 'false or a function',
    check = function(value)
      return value == false or type(value) == 'function'
    end,
  },
}
