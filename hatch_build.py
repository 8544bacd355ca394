"""Puts wllama, which the phone app runs models with, into the wheel.

It is fetched as `export/phone/package-lock.json` has it. Without a network the wheel is built without it, and
`edgelm export phone` says how to get it.
"""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # runs from the checkout, where edgelm finds a user's own copy
            return
        sys.path.insert(0, self.root)
        from edgelm.errors import EdgelmError
        from edgelm.export import npm

        source = Path(self.root) / "export" / "phone"
        folder = npm.cache(source)
        try:
            if not npm.complete(folder, source):
                npm.fetch(source, folder)
        except (EdgelmError, OSError) as error:
            self.app.display_warning(f"the phone app's wllama is left out of the wheel: {error}")
            return
        for file in sorted(folder.iterdir()):
            build_data["force_include"][str(file)] = f"edgelm/_resources/export/phone/wllama/{file.name}"
