"""A function that has the name of its submodule is documented as the function, as Python resolves it."""

from typing import Any

from griffe import Alias, Extension, Module


class ExportedFunctions(Extension):
    """`lookalike.evaluate.retrieval` is a function and its module; the room exports the function."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        for room in pkg.modules.values():
            for name in room.exports or ():
                member = room.members.get(str(name))
                if isinstance(member, Module) and str(name) in member.members:
                    room.set_member(str(name), Alias(str(name), member.members[str(name)], parent=room))
