"""The page as a server on this machine, which gives and takes no files."""

import os
import socket
import time
import warnings
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from edgelm.errors import BadInput
from edgelm.hosts import allowed
from edgelm.serve.patience import watch
from edgelm_demo.guard import Guard
from edgelm_demo.page import build


def launch(page: gr.Blocks, port: int = 0, open_browser: bool = False, host: str = "127.0.0.1") -> str:
    """Serve the page from a thread and return its address; port 0 takes a free one.

    Raises:
        BadInput: the port is taken.
    """
    warnings.filterwarnings("ignore", module="gradio")  # its own deprecations, not for a reader's terminal
    os.environ["no_proxy"] = ",".join(filter(None, [os.environ.get("no_proxy"), "127.0.0.1", "localhost"]))
    with socket.socket() as probe:
        if os.name == "posix":  # elsewhere it would let two programs share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            remedy = "give another --port, or 0 for a free one"
            raise BadInput(f"port {port} cannot be used ({error.strerror})", remedy=remedy) from None
        port = probe.getsockname()[1]
    font = ["system-ui", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]  # names alone: nothing is fetched
    theme = gr.themes.Default(primary_hue="teal", neutral_hue="slate", font=font, font_mono=["monospace"])
    legible = {}  # white on them, in both themes
    for suffix in ("", "_dark"):
        legible[f"button_primary_background_fill{suffix}"] = "*primary_700"
        legible[f"button_primary_background_fill_hover{suffix}"] = "*primary_800"
    _, address, _ = page.launch(
        theme=theme.set(**legible),
        css_paths=Path(__file__).with_name("style.css"),
        server_name=host,
        server_port=port,
        inbrowser=open_browser,
        share=False,
        quiet=True,
        ssr_mode=False,
        footer_links=[],
        blocked_paths=[os.path.abspath(os.sep)],  # stronger than GRADIO_ALLOWED_PATHS
        prevent_thread_lock=True,
        app_kwargs={"middleware": [Middleware(Guard, hosts=allowed(host))]},
    )
    watch(page.server)
    return address


def serve(models: list[Path], port: int = 7860, open_browser: bool = False, host: str = "127.0.0.1") -> None:
    """Serve the page until Ctrl-C.

    Raises:
        BadInput, MissingExtra: as `find_models`; the port is taken.
    """
    page = build(models)
    address = launch(page, port, open_browser, host)
    try:
        print(f"The page is at {address} (Ctrl-C stops it)", flush=True)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("\rStopped.")
    page.close(verbose=False)
