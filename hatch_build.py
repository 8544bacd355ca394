"""Puts wllama, which the phone app runs models with, into the wheel.

It is fetched as `export/phone/package-lock.json` has it. Without a network the wheel is built without it, and
`edgelm export phone` says how to get it; with EDGELM_WITH_WLLAMA=1, which a release is to be built with, that
is an error.
"""

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NEEDED = "EDGELM_WITH_WLLAMA"


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
            # pip install . builds a wheel as a release does, and has to work without a network: nothing here
            # tells the two apart, so whoever makes a release asks for the error
            if os.environ.get(NEEDED) == "1":
                raise RuntimeError(f"no wheel without the phone app's wllama: {error}") from None
            self.app.display_warning(
                f"WARNING: THIS WHEEL IS NOT WHOLE: the phone app's wllama is left out. {error}\n"
                f"It is not fit for a release (built with {NEEDED}=1, it would have failed); where it is "
                "installed, edgelm export phone has to be given --fetch."
            )
            return
        for file in sorted(folder.iterdir()):
            build_data["force_include"][str(file)] = f"edgelm/_resources/export/phone/wllama/{file.name}"
