#!/usr/bin/env bash
# Installs the packages of an image into /opt/tidecast/venv, by the lock file. Called by the Dockerfile alone.
set -euo pipefail
system=$(PATH=${PATH#/opt/tidecast/venv/bin:} command -v python) # the environment is still empty
locked() { # locked PACKAGES PYTHON: what deploy.image.packages names, each checked against its hash
  "$system" -m deploy.image.packages "$1" >"/tmp/$1.lock"
  /opt/pip/bin/pip --python "$2" install --no-deps --require-hashes -r "/tmp/$1.lock"
}

packages=$IMAGE
if [ "$IMAGE" = torch ] && [ "$CUDA" != 1 ]; then
  packages=torch-cpu
  test -n "$TORCH_INDEX_URL" || { echo "give TORCH_INDEX_URL, PyTorch's CPU index, or CUDA=1" >&2; exit 1; }
fi
locked build /opt/pip/bin/python
locked "$packages" /opt/tidecast/venv/bin/python
if [ "$packages" = torch-cpu ]; then
  /opt/pip/bin/pip --python /opt/tidecast/venv/bin/python install --no-deps --index-url "$TORCH_INDEX_URL" \
    "$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.lock)"
fi
