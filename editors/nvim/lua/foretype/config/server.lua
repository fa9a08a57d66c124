--- Options `server`: which program is started and with which settings.

---@class foretype.ServerOptions
---@field cmd false|string|string[] false: look for it; a string: the program; a list: the whole command
---@field settings table the server's own settings (model, budgetMs, languages …), sent as they are: the server checks them
---@field completion_menu boolean also offer suggestions as items of the completion menu
---@field env table<string, string> environment variables for the server

return {
  cmd = {
    default = false,
    says = 'false, the path of the program, or a list with the whole command',
    check = function(value)
      if value == false or (type(value) == 'string' and value ~= '') then
        return true
      end
      return type(value) == 'table' and #value > 0 and type(value[1]) == 'string'
    end,
  },
  settings = { default = {}, check = 'table' },
  completion_menu = { default = false, check = 'boolean' },
  env = { default = {}, check = 'table' },
}
