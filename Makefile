# Targets for people; CI runs `make test`. `make help` lists them.

export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: build
build: ## compile the binary to bin/millrace
	go build -o bin/millrace ./cmd/millrace

.PHONY: demo
demo: ## run the server with a live example
	go run ./cmd/millrace demo

.PHONY: test
test: ## everything CI runs: build, vet, tests, comparison with PostgreSQL, race detector
	@internal/ci/test.sh

.PHONY: check
check: ## quick checks before a commit: format, vet, house rules, linter if installed
	@internal/ci/test.sh vet
	go test -count=1 ./internal/archtest
	@if command -v golangci-lint >/dev/null; then golangci-lint run; \
	 else echo "skipped: golangci-lint is not installed"; fi

.PHONY: slt
slt: ## the .slt files against a server of their own; SLT=text limits them to paths with that text
	MILLRACE_SLT=$(SLT) go test -count=1 -run TestFiles ./sqllogictest

.PHONY: slt-rewrite
slt-rewrite: ## put the answers of our server into the .slt files, to be reviewed; SLT=text as above
	MILLRACE_SLT=$(SLT) MILLRACE_SLT_REWRITE=1 go test -count=1 -run TestFiles ./sqllogictest

.PHONY: test-postgres
test-postgres: ## the .slt files, generated statements and the property test against a real PostgreSQL 15; LONG=2m, SEED=n
	@internal/ci/test.sh postgres
	MILLRACE_TEST_POSTGRES=1 go test -count=1 -timeout 60m -run 'TestExpressions|TestQueries' ./internal/pgdiff -long $(or $(LONG),2m) -seed $(or $(SEED),2)
	go test -count=1 -run TestViewEqualsRecompute ./internal/e2e

.PHONY: test-mariadb
test-mariadb: ## tables that follow a real MariaDB, and the sink into one, under kills for minutes; SEED=n repeats one
	go test -count=1 -timeout 60m ./connector/mysql/... ./connector/mysqlsink
	go test -count=1 -timeout 60m -run 'MySQL' ./internal/cdctest -long $(if $(SEED),-seed $(SEED))

.PHONY: docs
docs: ## the reference of functions under docs/sql/functions, from the library's entries and their examples
	go test -count=1 -run TestReference ./internal/expr -docs

.PHONY: test-mutation
test-mutation: ## breaks every function of the library in turn and asks for an example that notices
	go test -count=1 -run 'TestMutations|TestEveryEntryHasAnExample' -v ./internal/expr

.PHONY: test-kafka
test-kafka: ## the Kafka connector and a whole server against a real Apache Kafka; needs Java 17 and Maven, fetches the jars once
	go test -count=1 -timeout 40m ./internal/kafkatest -kafka

.PHONY: golden
golden: ## the golden plans; REWRITE=1 writes them anew, to be reviewed
	go test -count=1 ./planner -args $(if $(REWRITE),-rewrite)

.PHONY: fuzz
fuzz: ## every fuzzer for FUZZTIME (default 20s), one after the other
	@internal/ci/fuzz.sh $(or $(FUZZTIME),20s)

.PHONY: test-full
test-full: ## all tests with the costly invariant checks and the race detector; needs gcc; the first build takes minutes
	CGO_ENABLED=1 go test -race -tags millrace_invariants -timeout 60m ./...

.PHONY: soak
soak: ## the tests with random kills and random queries, for minutes; SEED=n repeats one
	go test -count=1 -timeout 60m ./internal/e2e -v -long $(if $(SEED),-seed $(SEED))
	go test -count=1 -timeout 60m ./internal/cdctest -v -long $(if $(SEED),-seed $(SEED))

.PHONY: bench
bench: ## the Nexmark queries beside hand-written programs, latency of a row, TPC-H and look-ups beside PostgreSQL; minutes
	go run ./cmd/millrace bench nexmark
	go run ./cmd/millrace bench latency
	go run ./cmd/millrace bench tpch --sf 0.1
	go run ./cmd/millrace bench lookup
	go test -count=1 -run TestPostgresMeasure -v ./internal/cdctest -measure

.PHONY: bench-micro
bench-micro: ## Go benchmarks of the hot paths
	go test -run '^$$' -bench . -benchtime 1s ./connector/codec ./connector/nexmark ./executor/batch ./internal/expr ./frontend/pgwire ./storage/shard
