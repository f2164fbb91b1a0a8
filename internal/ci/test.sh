#!/usr/bin/env bash
# What `make test` and CI run: stages in order, each with its time; at the end one line per stage, what was
# skipped and why. Every stage runs even if one before it failed, except when the code does not build.
#
# Usage: internal/ci/test.sh [stage…]    stages: setup build vet unit race postgres
#
# To add a stage, write stage_NAME below and name it in `all`. A stage's exit code is its verdict; `skip REASON`
# records what could not be done here.
set -uo pipefail
cd "$(dirname "$0")/../.."

all=(setup build vet unit postgres race)
pg_bin=${POSTGRES_BIN:-/usr/lib/postgresql/15/bin}

# Packages whose tests share memory between goroutines. The race detector runs on these only: compiling all
# dependencies with it takes minutes, and a package of pure functions gains nothing from it.
race_packages=(
	./connector/datagen ./connector/kafka ./connector/mysql ./connector/nexmark ./connector/posixfs
	./executor/batch
	./frontend/pgwire ./internal/sqlclient
	./meta/etcd
	./storage/checkpoint ./storage/object ./storage/shard ./storage/wal
	./internal/e2e # a whole server in the test's process: sessions, engine, actors, checkpoints
)

skipped=()
skip() { skipped+=("$1"); echo "skipped: $1"; }

# install PACKAGE… by apt, if we may.
install() {
	if [ "$(id -u)" != 0 ]; then
		echo "cannot install $* : not root"; return 1
	fi
	if ! command -v apt-get >/dev/null; then
		echo "cannot install $* : this system has no apt-get"; return 1
	fi
	if [ -z "${apt_updated:-}" ]; then
		apt-get update -qq </dev/null || echo "apt-get update was not complete"
		apt_updated=1
	fi
	# Debian starts a server that it installs; the tests bring their own.
	local policy=/usr/sbin/policy-rc.d mine=
	if [ ! -e $policy ]; then
		mine=1
		printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/tmp/millrace-apt.$$ 2>&1
	local code=$?
	[ -z "$mine" ] || rm -f $policy
	[ $code = 0 ] || tail -20 /tmp/millrace-apt.$$
	rm -f /tmp/millrace-apt.$$
	return $code
}

# What the tests need besides Go: a PostgreSQL to compare with and to follow, psql, the other servers that connectors meet, and a C compiler for
# the race detector.
stage_setup() {
	if ! command -v go >/dev/null; then
		echo "there is no go in PATH: install Go 1.26 or newer, then run this again"; return 1
	fi
	go version
	local want=()
	[ -x "$pg_bin/initdb" ] || want+=(postgresql-15)
	command -v psql >/dev/null || want+=(postgresql-client-15)
	command -v gcc >/dev/null || want+=(gcc libc6-dev)
	command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ] || want+=(mariadb-server)
	command -v redis-server >/dev/null || want+=(redis-server)
	command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || want+=(mosquitto)
	if [ ${#want[@]} != 0 ]; then
		# The Debian package would make a cluster and run it; the tests bring their own.
		if [ "$(id -u)" = 0 ] && [ -d /etc ] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
			mkdir -p /etc/postgresql-common
			echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
		fi
		install "${want[@]}" || echo "going on without ${want[*]}"
	fi
	return 0
}

stage_build() {
	CGO_ENABLED=0 go build ./... && CGO_ENABLED=0 go build -o bin/millrace ./cmd/millrace && bin/millrace version
}

stage_vet() {
	local unformatted
	unformatted=$(gofmt -l $(go list -f '{{.Dir}}' ./...))
	if [ -n "$unformatted" ]; then
		echo "not formatted by gofmt:"; echo "$unformatted"; return 1
	fi
	CGO_ENABLED=0 go vet ./...
}

# All tests once, fuzz seeds and .slt files included. Prints a line per package, and all of a failing one.
stage_unit() {
	CGO_ENABLED=0 go test -timeout 15m ./...
}

# What our .slt files expect is what a real PostgreSQL answers.
stage_postgres() {
	if [ ! -x "$pg_bin/initdb" ] && ! command -v initdb >/dev/null; then
		skip "comparison with PostgreSQL: there is no PostgreSQL 15 (apt-get install postgresql-15, as root)"
		return 0
	fi
	MILLRACE_TEST_POSTGRES=1 CGO_ENABLED=0 go test -count=1 -timeout 5m -run 'TestPostgres' ./sqllogictest ./bench/tpch ./bench/nexmark || return 1
	# Statements of the files, and generated expressions and queries of one seed: all that a client sees is compared.
	MILLRACE_TEST_POSTGRES=1 CGO_ENABLED=0 go test -count=1 -timeout 5m ./internal/pgdiff
}

stage_race() {
	if ! command -v gcc >/dev/null; then
		skip "race detector: there is no gcc (apt-get install gcc libc6-dev, as root)"
		return 0
	fi
	CGO_ENABLED=1 go test -race -short -timeout 15m "${race_packages[@]}"
}

[ $# = 0 ] && set -- "${all[@]}"
summary=(); failed=0
for stage in "$@"; do
	if ! declare -F "stage_$stage" >/dev/null; then
		echo "there is no stage $stage; there are: ${all[*]}"; exit 2
	fi
	echo "=== $stage"
	began=$SECONDS before=${#skipped[@]}
	if "stage_$stage" </dev/null; then
		verdict=ok
		[ ${#skipped[@]} = "$before" ] || verdict=skipped
	else
		verdict=FAILED failed=1
	fi
	summary+=("$(printf '%-9s %-8s %4d s' "$stage" "$verdict" $((SECONDS - began)))")
	if [ "$verdict" = FAILED ] && { [ "$stage" = setup ] || [ "$stage" = build ]; }; then
		echo "stopping: nothing after this can work"; break
	fi
done
echo "=== summary"
printf '%s\n' "${summary[@]}"
for s in ${skipped[@]+"${skipped[@]}"}; do echo "skipped: $s"; done
if [ $failed = 0 ]; then echo "all stages passed in $SECONDS s"; else echo "FAILED after $SECONDS s"; fi
exit $failed
