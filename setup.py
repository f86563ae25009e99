"""Compiles the packed kernel while cellserve is installed or made into a wheel; what cellserve is stands in pyproject.toml.

Any C++ compiler will do, or the package ziglang, which an isolated build fetches where there is none. Where nothing works,
cellserve installs all the same, and says of the implementation `packed` what is missing.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

NATIVE = Path("models", "implementations", "packed", "native")
LIBRARY = "cellserve.models.implementations.packed.libpacked"
FLAGS = [
    *("-std=c++17", "-O3", "-fPIC", "-pthread", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti", "-g0"),
    *("-ffp-contract=off", "-fno-math-errno"),  # a number must not depend on where the compiler fuses
]
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma", "-DPACKED_AVX512"]
PATHS = {  # one compilation of path.cpp for each instruction set, the plain one last
    "bfloat16": [*AVX512, "-mavx512bf16", "-DPACKED_BFLOAT16"],
    "avx512": AVX512,
    "avx2": ["-mavx2", "-mfma", "-DPACKED_AVX2"],
    "plain": [],
}
COMPILERS = ("c++", "g++", "clang++")
ZIG_MACHINES = {
    ("Linux", "x86_64"),
    ("Linux", "aarch64"),
    ("Darwin", "x86_64"),
    ("Darwin", "arm64"),
}  # that have wheels of ziglang


def compilers() -> list[list[str]]:
    """The commands to try, in order; $CXX alone, where it is set: it may compile for another machine than the others."""
    if os.environ.get("CXX"):
        return [shlex.split(os.environ["CXX"])]
    found = [[path] for name in COMPILERS if (path := shutil.which(name)) is not None]
    # Its c++ would compile a C++ library first, and without -mcpu it compiles for the processor at hand alone.
    zig = [[sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]] if find_spec("ziglang") is not None else []
    return found + zig


def compile_library(compiler: list[str], temporary: Path, library: Path) -> None:
    """Raises OSError, CalledProcessError: this compiler cannot."""
    temporary.mkdir(parents=True, exist_ok=True)
    library.parent.mkdir(parents=True, exist_ok=True)
    objects = [temporary / "packed.o"]
    subprocess.run([*compiler, *FLAGS, "-c", NATIVE / "packed.cpp", "-o", objects[0]], check=True)
    x86 = compiles_for_x86(compiler)
    for name, flags in PATHS.items():
        if x86 or name == "plain":
            objects.append(temporary / f"{name}.o")
            options = [*FLAGS, *flags, f"-DPACKED_PATH={name}"]
            subprocess.run([*compiler, *options, "-c", NATIVE / "path.cpp", "-o", objects[-1]], check=True)
    made = library.with_suffix(".new")
    subprocess.run([*compiler, "-shared", "-pthread", *objects, "-lm", "-o", made], check=True)
    made.replace(library)  # never written over: a process may have it loaded


def compiles_for_x86(compiler: list[str]) -> bool:
    """Whether the machine that it compiles for is an x86-64, by the macros that it defines."""
    command = [*compiler, "-dM", "-E", "-x", "c++", os.devnull]
    return "__x86_64__" in subprocess.run(command, check=True, capture_output=True, text=True).stdout


class BuildKernel(build_ext):
    """A library with a C ABI, not a module of Python: the same for every version of it."""

    def get_ext_filename(self, fullname: str) -> str:
        return f"{fullname.replace('.', os.sep)}.so"

    def build_extension(self, ext: Extension) -> None:
        library = Path(self.get_ext_fullpath(ext.name))
        library.unlink(missing_ok=True)  # what was compiled before must not pass for what cannot be compiled now
        for compiler in compilers():
            try:
                compile_library(compiler, Path(self.build_temp), library)
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"{shlex.join(compiler)} cannot compile the packed kernel: {error}", file=sys.stderr)
            else:
                return
        print("cellserve is installed without the packed kernel: no C++ compiler worked", file=sys.stderr)


class Wheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


setup(
    ext_modules=[
        Extension(
            LIBRARY,
            [str(path) for path in sorted(NATIVE.glob("*.cpp"))],
            depends=[str(path) for path in sorted(NATIVE.glob("*.h"))],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernel, "bdist_wheel": Wheel},
    setup_requires=[]
    if compilers() or (platform.system(), platform.machine()) not in ZIG_MACHINES
    else ["ziglang>=0.13"],  # read by pip's isolated builds only
)
