"""What can be wrong with a model, said so that its owner can act.

    ModelError
    ├── ImportRefused      a file that cannot, or must not, become a model
    ├── InvalidSpec        a description that contradicts itself
    ├── InvalidWeights     arrays that do not fit the description
    ├── UnknownKind        a kind of layer that a table of this program does not list
    └── Unsupported        an implementation that cannot run this model

Knows no status codes and no terminal: the door and the command line translate.
"""


class ModelError(Exception):
    """Base of everything the mathematics refuses."""


class ImportRefused(ModelError):
    """A model file is refused. The sentence names the file, the layer and the option, and says what to do.

    `proposal`: a description with which it may be accepted, for a person to read and edit; "" for none.
    """

    proposal = ""

    def __init__(self, source: str, what: str, *, layer: str | None = None, option: str | None = None) -> None:
        self.source = source
        self.what = what
        self.layer = layer
        self.option = option
        place = f"{source}: " + (f"layer {layer!r}: " if layer else "") + (f"option {option!r}: " if option else "")
        super().__init__(place + what)


class InvalidSpec(ModelError, ValueError):
    """A ModelSpec whose layers do not fit together. (A ValueError, so that pydantic reports it as one.)"""


class InvalidWeights(ModelError):
    """Arrays missing, unexpected, of the wrong shape or not finite; the message lists each by name."""


class Unsupported(ModelError):
    """The implementation asked for cannot run this model; the message names the layer and the reason."""


class UnknownKind(ModelError):
    """A kind of layer that a description has and a table does not: a fault of this program, said by name."""

    def __init__(self, layer: str, kind: str, table: str) -> None:
        super().__init__(f"layer {layer!r} is of kind {kind!r}, which {table} do not list: this kind is not built to its end")
