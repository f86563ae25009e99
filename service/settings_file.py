"""A file of settings in YAML: one line for each, by the name of the setting. Knows no setting.

    port: 8001
    repository: /srv/models
    drain_seconds: 60

Values are taken as they are written, as those of the environment are, so that `implementation: 0` is the implementation 0.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Final

from cellserve.service.followed_files import UnusableFile, named, read

SETTING: Final = "settings_file"


def read_settings(path: Path, names: Collection[str]) -> dict[str, str]:
    """names: of all settings. What has no value is left out. Raises UnusableFile, which names the line."""
    import yaml  # which a client without the server need not have

    where = named(SETTING, path)
    try:
        root = yaml.compose(read(SETTING, path).decode(), Loader=yaml.BaseLoader)
    except UnicodeDecodeError as error:
        raise UnusableFile(f"{where}: is not text; write one setting a line, as in port: 8001") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UnusableFile(f"{where}{line}: is not YAML ({error.problem}); write one setting a line, as in port: 8001") from error
    except yaml.YAMLError as error:
        raise UnusableFile(f"{where}: is not YAML; write one setting a line, as in port: 8001") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise UnusableFile(f"{where}: holds no settings by name; write one a line, as in port: 8001")
    given: dict[str, str] = {}
    for key, value in root.value:
        line = f"{where}, line {key.start_mark.line + 1}"
        name = key.value if isinstance(key, yaml.ScalarNode) else ""
        if name not in names:
            raise UnusableFile(f"{line}: {_unknown(name, names)}")
        if name in given:
            raise UnusableFile(f"{line}: {name} is there already; keep one of the lines")
        if not isinstance(value, yaml.ScalarNode):
            raise UnusableFile(f"{line}: {name} takes one value, not several")
        if value.value:
            given[name] = value.value
    return given


def _unknown(name: str, names: Collection[str]) -> str:
    alike = difflib.get_close_matches(name.replace("-", "_"), names, 1)
    return f"there is no setting {name!r}" + (f"; {alike[0]}?" if alike else "; docs/settings.md lists them")
