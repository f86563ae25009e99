"""`cellserve inspect`: what a trained file holds and how it would be served. Publishes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellserve.service.cli import describing
from cellserve.service.cli.options import ArchitectureOption, DequantizeOption, DescriptionOption, JsonOption
from cellserve.service.cli.output import print_json, print_table


def inspect(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A trained file: .h5, .keras, .pt, .safetensors, .npz, a checkpoint.")
    ],
    architecture: ArchitectureOption = None,
    description: DescriptionOption = None,
    dequantize: DequantizeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show framework, layers, parameters, passes and implementations of a file, and what importing it would assume.

    Of a state dict whose modules need a description, one that fits their shapes is printed, ready to be edited (exit code 2).

    cellserve inspect digits.keras
    cellserve inspect model.pt > description.yaml
    """
    from cellserve.models.errors import ImportRefused
    from cellserve.models.importers.isolated import load_isolated
    from cellserve.models.served import served

    try:
        imported = load_isolated(file, architecture=architecture, description=description, dequantize=dequantize)
    except ImportRefused as refused:
        if refused.proposal:
            typer.echo(refused.proposal, nl=False)
        raise
    network = describing.as_data(imported.spec)
    implementations = {
        label: refusal or "can run it" for label, refusal in served(imported.spec, imported.weights).implementations.items()
    }
    if as_json:
        source = imported.source
        print_json(
            {
                "file": str(file),
                "framework": source.framework,
                "framework_version": source.version,
                "digest": source.digest,
                **network,
                "implementations": implementations,
                "notes": list(imported.notes),
            }
        )
        return
    print_table(
        str(file),
        ("what", "value"),
        [
            ("framework", f"{imported.source.framework} {imported.source.version}".rstrip()),
            ("parameters", f"{network['parameters']:,}"),
            ("outputs", ", ".join(f"{name} {shape}" for name, shape in network["outputs"].items())),
            ("computed in", network["passes"]),
            *(("note", remark) for remark in imported.notes),
        ],
    )
    describing.print_network(network)
    describing.print_implementations(implementations)
