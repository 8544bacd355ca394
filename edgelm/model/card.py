"""Model cards: what a model directory says about itself."""

from edgelm.languages import load_languages
from edgelm.model.config import ModelConfig


def model_card(name: str, languages: list[str], bits_per_byte: dict[str, float], shape: ModelConfig) -> str:
    """A Hugging Face model card with sizes, bits per byte by language and limits."""
    registry = load_languages()
    tags = [registry[code].bcp47 if code in registry else code for code in languages]
    rows = [
        f"| {registry[code].autonym if code in registry else code} | {value:.3f} |"
        for code, value in bits_per_byte.items()
    ]
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "pipeline_tag: text-generation",
            "language:",
            *(f'- "{tag}"' for tag in tags),
            "---",
            "",
            f"# {name}",
            "",
            f"A Llama decoder of {shape.parameters / 1e6:.1f} M parameters ({shape.layers} layers, width",
            f"{shape.hidden_size}, vocabulary {shape.vocab_size}, context {shape.context}), trained with",
            "edgelm. `edgelm.json` beside this file says from what, how and when.",
            "",
            "## Bits per byte on validation text (lower is better)",
            "",
            "| language | bits per byte |",
            "| --- | --- |",
            *rows,
            "",
            "## Limits",
            "",
            "A model of this size continues text; it knows no facts that can be relied on and repeats what",
            "its training text says. Nobody who speaks these languages has reviewed what it writes. Do not",
            "use it to inform, to translate or to decide about people.",
            "",
        ]
    )
