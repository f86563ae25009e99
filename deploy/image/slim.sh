#!/bin/sh
# Takes from an installed cellserve what serving never reads: slim.sh /opt/cellserve
#
# Tests, headers, stubs, symbols, build tools, and what of torch only its compilers import. Compiled modules are thrown away; those that are
# really imported come back when image/check.sh has a model computed in every way, which is also the proof that nothing is missing.
set -eu
cd "$1"/lib/python3*/site-packages
find . -type d -name __pycache__ -prune -exec rm -rf {} +
find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.h' -o -name '*.hpp' -o -name '*.cuh' -o -name '*.a' -o -name '*.cmake' \) -delete
find torch/bin -mindepth 1 ! -name torch_shm_manager -delete  # which torch looks for when it is imported
rm -rf torch/include torch/share
strip --strip-unneeded torch/lib/libtorch_cpu.so torch/lib/libtorch_python.so
