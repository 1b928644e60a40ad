"""A plugin module that imports what it brings, and torch with it."""

import broken_modules

from globalworkspace import hookimpl

globalworkspace_api = 1


@hookimpl
def register_domains(register):
    register("sound", "broken_modules:Sound", summary=broken_modules.__doc__)
