# The versions of what provision.sh installs beside the Node modules.
# shellcheck shell=sh disable=SC2034
go_containerregistry_version=v0.22.1
cosign_version=v3.1.3
uv_version=0.13.9
python_sdk_1_version=1.30.0
python_sdk_2_version=2.3.0
inspector_version=2.12.0
conformance_version=0.2.0-alpha.12
supergateway_version=4.0.0
verdaccio_version=6.10.4
fulcio_version=v1.8.8
timestamp_authority_version=v2.1.5
syft_version=v1.50.0
actionlint_version=v1.7.12
zizmor_version=1.32.0
# Later ones name a dependency by a path that `go install` refuses.
rekor_tiles_version=v2.3.0
# HTTP clients that MCP servers are written with, held against the egress proxy; an axios from before it made tunnels, too.
node_http_clients='axios@1.21.1 axios-before@npm:axios@1.7.9 got@15.1.0 node-fetch@3.3.2 undici@8.13.1 ws@8.23.0'
python_http_clients='aiohttp==3.14.5 httpx==0.28.1 requests==2.34.2 websockets==17.4'
