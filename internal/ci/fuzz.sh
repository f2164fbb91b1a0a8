#!/usr/bin/env bash
# Runs every fuzzer of the module for the time given (default 20s), one after the other. Stops at the first
# find; the input is kept in the package's testdata/fuzz and is a test from then on.
set -euo pipefail
cd "$(dirname "$0")/../.."
for_time=${1:-20s}
grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
	package=$(dirname "$file")
	for fuzzer in $(grep -ohE '^func Fuzz[A-Za-z0-9_]*' "$file" | awk '{print $2}'); do
		echo "=== $package $fuzzer"
		go test -run '^$' -fuzz "^$fuzzer\$" -fuzztime "$for_time" "$package" </dev/null
	done
done
