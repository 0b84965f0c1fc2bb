#!/bin/sh
# SeaweedFS with one S3 identity, from the environment.
set -eu
umask 077
cat > /tmp/s3.json <<JSON
{"identities": [{"name": "careloop",
  "credentials": [{"accessKey": "${STORE_ACCESS_KEY:?}", "secretKey": "${STORE_SECRET_KEY:?}"}],
  "actions": ["Read:careloop-documents", "Write:careloop-documents", "List:careloop-documents"]}]}
JSON
exec weed server -ip=store -ip.bind=0.0.0.0 -dir=/data -s3 -s3.port=8333 -s3.config=/tmp/s3.json \
  -volume.max=0 -master.volumeSizeLimitMB=1024
