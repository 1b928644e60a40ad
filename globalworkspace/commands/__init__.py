"""The core's own commands, registered like any plugin's."""
