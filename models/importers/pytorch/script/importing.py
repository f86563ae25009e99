"""TorchScript programs (torch.jit.save) whose forward is known layers one after the other: state dicts that say their own wiring.

What the program does beyond that is refused by its line; nothing of it is ever run.
"""

from __future__ import annotations

from pathlib import Path

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import ImportedModel
from cellserve.models.importers.pytorch.file import stored_tensors
from cellserve.models.importers.pytorch.script.file import read_script
from cellserve.models.importers.pytorch.script.program import follow
from cellserve.models.importers.pytorch.script.values import Flow, NotFollowed
from cellserve.models.importers.pytorch.state_dict import from_state_dict


def load_script(path: Path, description: Description) -> ImportedModel:
    """Raises ImportRefused: damaged, or a program that is more than layers one after the other."""
    source = str(path)
    description.refuse_all_but(frozenset({"ignore"}), source, "a TorchScript program, which says the rest itself")
    script = read_script(path)
    try:
        flow = follow(script)
        said = _described(flow)
    except NotFollowed as stopped:
        raise ImportRefused(
            source,
            f"this is a TorchScript program, which is read and never run, and it does what cannot be read as layers: {stopped}. "
            "Where you trust it, take its weights out, and import those with what they do not say in a --description: "
            f'torch.save(torch.jit.load("{path.name}", map_location="cpu").state_dict(), "{path.stem}.weights.pt")',
        ) from stopped
    stored = stored_tensors(script.tensors(), {}, source).without(description.ignore or (), source)
    done = ", ".join(name if kind in ("embedding", "recurrent", "linear") else _words(kind, name) for kind, name in flow.steps)
    note = f"The program was read, not run; it does {done}."
    return from_state_dict(path, stored.with_note(note), said)


def _words(kind: str, name: str) -> str:
    return "the last step" if kind == "last" else name


def _described(flow: Flow) -> Description:
    """The wiring as a description of a state dict says it. Raises NotFollowed for what that has no words for."""
    order: list[str] = []
    functions: list[str] = []
    before = ""
    for kind, name in flow.steps:
        if kind == "function":
            if before != "linear":
                raise NotFollowed(f"{name} follows something else than a Linear layer")
            functions[-1] = name
        elif kind != "last":
            if name in order:
                raise NotFollowed(f"{name or 'one module'} runs twice")
            order.append(name)
            functions += ["linear"] * (kind == "linear")
        before = before if kind == "last" else kind
    kinds = [kind for kind, _ in flow.steps if kind not in ("function", "last")]
    if kinds != sorted(kinds, key=("embedding", "recurrent", "linear").index) or "recurrent" not in kinds:
        raise NotFollowed(
            f"its layers are not an embedding, recurrent ones and Linear ones, in this order, but {', '.join(kinds)}"
        )
    return Description.model_validate(
        {
            "order": order,
            "head": "last_step" if ("last", "") in flow.steps else "sequence",
            "head_activations": functions or None,
            "nonlinearity": flow.nonlinearity,
        }
    )
