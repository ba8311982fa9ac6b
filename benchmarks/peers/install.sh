#!/bin/sh
# The converters that benchmarks/convert_peers.py compares with, from PyPI, each in an environment of its own:
#   sh benchmarks/peers/install.sh FOLDER
# makes FOLDER/od_api, FOLDER/official and FOLDER/tfds: about 6 GB, three minutes. PYTHON names the Python to use.
set -eu
folder=${1:?"which folder? for instance: sh $0 peers"}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
mkdir -p "$folder"
for peer in od_api official tfds; do
  echo "$folder/$peer"
  "$python" -m venv "$folder/$peer"
  "$folder/$peer/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/$peer.txt"
done
# These two ask for far more than their converter uses (notebooks, every model with all it needs).
"$folder/od_api/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps object-detection==0.0.3
"$folder/official/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps tf-models-official==2.20.0
