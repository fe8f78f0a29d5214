"""The command line: one thin file per verb. Only this package prints or exits."""
