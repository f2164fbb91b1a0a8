#!/bin/sh
# Starts Millrace in a container. A container listens beyond its own loopback, which Millrace refuses while a
# user has no password: at the first start root gets MILLRACE_PASSWORD, over loopback.
set -eu
: "${MILLRACE_PASSWORD:?set MILLRACE_PASSWORD to the password that user root gets at the first start}"
data=/data
if [ ! -e "$data/.password-set" ]; then
	millrace start --listen 127.0.0.1:4567 --data "$data" &
	pid=$!
	quoted=$(printf %s "$MILLRACE_PASSWORD" | sed "s/'/''/g")
	n=0
	until millrace sql --port 4567 -c "ALTER USER root PASSWORD '$quoted'" >/dev/null 2>&1; do
		n=$((n + 1))
		[ "$n" -lt 100 ] || { echo "millrace did not start" >&2; exit 1; }
		sleep 0.1
	done
	kill -TERM "$pid"
	wait "$pid"
	touch "$data/.password-set"
fi
exec millrace start --listen 0.0.0.0:4566 --data "$data" "$@"
