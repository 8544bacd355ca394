"""The demo page: type in a language and watch a small model write, with nothing leaving the machine.

edgelm demo my-model                       # a model, or a folder that holds some
EDGELM_MODELS=models python demo/app.py    # the same, the way a Hugging Face Space starts it
"""

import os
import sys
from pathlib import Path

from edgelm_demo.server import serve

from edgelm.errors import EdgelmError

if __name__ == "__main__":
    try:
        folders = [Path(one) for one in os.environ.get("EDGELM_MODELS", "models").split(os.pathsep) if one]
        serve(folders, host=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    except EdgelmError as error:
        sys.exit(str(error))
