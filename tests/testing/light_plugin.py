"""A plugin module as it should be."""

from globalworkspace import hookimpl

globalworkspace_api = 1


@hookimpl
def register_domains(register):
    register("sound", "broken_modules:Sound", summary="everything a domain may have")
