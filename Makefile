# All commands of the repository. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

BIN     := $(CURDIR)/bin
MODULES := $(shell sed -n 's|^[[:space:]]*\(\./[a-z/-]*\)$$|\1|p' go.work)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
DATA    ?= ./.whisperer
# The program that runs tests; .ci/run puts gotestsum here.
GOTEST  ?= go test
BINARIES := ./services/subscription-api/cmd/subscription-api ./services/delivery-worker/cmd/delivery-worker ./services/whisperer/cmd/whisperer
# Packages with concurrency, which `make race` runs under the race detector. It leaves out the simulation, which runs on one processor
# and has no locks.
CONCURRENT := ./services/delivery-worker/... ./pkg/broker/... ./services/internal/bus/... ./services/internal/egress/... ./services/internal/daemon/...

# What `make faults` runs, and the seed of its random numbers. Scenarios mostly wait, so two CPUs are enough for six at once.
FAULTS := -tags faults -count 1 -v -parallel 6 ./services/whisperer/e2e/faults
SEED   ?= 1

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##### try it

.PHONY: run up down
run: ## run everything in one process on this machine, with its data in ./.whisperer
	@scripts/deps.sh run
	go build -o $(BIN)/whisperer ./services/whisperer/cmd/whisperer
	@exec $(BIN)/whisperer standalone --data $(DATA)
up: ## start the services in containers, as in production, with secrets in .env (needs Docker with Compose)
	@VERSION=$(VERSION) scripts/compose/up.sh
down: ## stop the containers and keep their data (to remove it, too: docker compose down -v)
	docker compose --profile cli --profile observability down

##### change it

.PHONY: test race sim fuzz faults versions chart chart-cluster pins bench bench-history bench-console bench-go animation screenshots lint fmt generate verify breaking vuln tidy
test: deps ## run all tests of all modules
	$(GOTEST) -timeout 40m work
race: deps ## run the tests of packages with concurrency under the race detector
	$(GOTEST) -timeout 40m -race $$(go list $(CONCURRENT) | grep -v /simulation)
# Two processes, because a history runs on one processor.
SIM := $(GOTEST) ./services/delivery-worker/internal/simulation -run '^TestHistories$$' -count 1 -timeout 60m
sim: ## simulate HISTORIES=10000 histories of workers on two processors (SEED=1 runs one and prints it)
ifeq ($(origin SEED),command line)
	$(SIM) -v -args -seed $(SEED)
else
	$(SIM) -args -histories $$(($(or $(HISTORIES),10000) / 2)) -first 1 -step 2 & other=$$!; \
	$(SIM) -args -histories $$(($(or $(HISTORIES),10000) / 2)) -first 2 -step 2 && wait $$other
endif
fuzz: ## run every Fuzz function of the workspace for FUZZTIME=30s (FUZZ=Decode for some of them)
	scripts/fuzz.sh $(or $(FUZZTIME),30s) '$(FUZZ)'
faults: deps ## kill, disconnect and confuse the real programs under load, some 10 minutes (SEED=1 RUN=F05 for a part)
	$(GOTEST) $(FAULTS) -timeout 30m $(if $(RUN),-run '$(RUN)',-skip '^TestLong') -args -seed $(SEED) $(FAULT_ARGS)
faults-full: deps ## the same with long outages, full disks, power cuts, an hour's soak, a million malformed requests: takes hours, needs root
	$(GOTEST) $(FAULTS) -timeout 3h -args -full -soak 1h -rate 300 -seed 1 $(FAULT_ARGS)
	for seed in 2 3; do $(GOTEST) $(FAULTS) -timeout 3h -args -full -seed $$seed $(FAULT_ARGS) || exit 1; done
	$(GOTEST) ./services/subscription-api/fuzz -count 1 -v -timeout 3h -args -requests 1000000 -seed $(SEED)
versions: deps ## run the tests that depend on the versions of PostgreSQL and NATS, on those that WHISPERER_TEST_* names
	$(GOTEST) -count 1 ./services/internal/bus/... ./services/internal/store/... ./services/delivery-worker/... ./services/whisperer/e2e
# Not cached: Go's test cache does not see changes of files outside of the module.
chart: $(BIN)/kube-score $(BIN)/helm-docs ## test the Helm chart, the dashboard, the alerts and the Compose files
	cd scripts/kubernetes/tests && GOWORK=off $(GOTEST) -count=1 ./...
chart-cluster: $(BIN)/kube-apiserver ## apply the chart to a real API server, under PodSecurity restricted (building that server takes minutes)
	cd scripts/kubernetes/tests && GOWORK=off $(GOTEST) -tags cluster -run Cluster -count=1 ./...
pins: ## test make pin, against a registry of its own
	cd scripts/release && GOWORK=off $(GOTEST) -count=1 -run Pin .
bench: deps ## measure deliveries per second of the whole system on this machine
	go run ./services/bench/cmd/bench
# Both fill a database first, unless KEEP names the folder of one that was filled before; 10,000,000 attempts take 12 GB.
HISTORY := history --attempts $(or $(ATTEMPTS),200000) $(if $(KEEP),--keep $(KEEP))
bench-history: deps ## measure look-ups in a large database (ATTEMPTS=10000000 KEEP=folder)
	go run ./services/bench/cmd/bench $(HISTORY) --only look-ups
bench-console: deps ## measure the console's pages with 10,000 hooks and that database (ATTEMPTS=10000000 KEEP=folder)
	go run ./services/bench/cmd/bench $(HISTORY) --only pages
bench-go: ## run the Go benchmarks of the hot paths
	go test -run '^$$' -bench . -benchmem ./pkg/... ./services/internal/... ./services/delivery-worker/...
animation: ## draw the output of `make run` as a picture for README.md (needs Node.js and util-linux)
	go build -o $(BIN)/whisperer ./services/whisperer/cmd/whisperer
	node scripts/docs/terminal.js
screenshots: deps ## take screenshots of all console pages at three widths, light and dark, into ./screenshots
	rm -rf screenshots && go test ./services/subscription-api/internal/console -run "TestEvery(Page|State)IsAccessible" -count 1 -timeout 60m -screenshots $(CURDIR)/screenshots
lint: $(BIN)/golangci-lint $(BIN)/actionlint ## lint all modules and the workflows
	$(BIN)/golangci-lint run $(MODULES:%=%/...)
	$(BIN)/actionlint .github/workflows/*.yml
fmt: $(BIN)/gofumpt $(BIN)/buf ## format Go and protobuf
	$(BIN)/gofumpt -w $(MODULES)
	$(BIN)/buf format -w proto
generate: $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/helm-docs ## generate the protobuf code and the chart's README
	cd proto && PATH="$(BIN):$$PATH" $(BIN)/buf generate
	cd scripts/kubernetes/whisperer && $(BIN)/helm-docs --log-level=error
verify: $(BIN)/gofumpt $(BIN)/buf $(BIN)/protoc-gen-go ## check that formatting, generated files and go.mod are up to date
	scripts/verify.sh
breaking: $(BIN)/buf ## find protobuf changes that break stored messages (AGAINST=origin/main)
	$(BIN)/buf breaking proto --against '.git#ref=$(or $(AGAINST),origin/main),subdir=proto'
vuln: $(BIN)/govulncheck ## find known vulnerabilities in called code (needs the network)
	for m in $(MODULES); do $(BIN)/govulncheck -C $$m ./...; done
tidy: ## run go mod tidy in every module
	scripts/tidy.sh

##### ship it

.PHONY: build docs release pin containers
build: ## build static binaries and the man page into ./dist
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o dist/ $(BINARIES)
	go run ./services/whisperer/cmd/whisperer manual man > dist/whisperer.1
docs: ## build the documentation as a site with search into ./dist/docs (needs Node.js; fails on broken links)
	cd scripts/docs && npm ci --no-audit --no-fund --silent && npm run --silent build
release: ## build reproducible archives for every platform, with checksums and SBOMs, into ./dist/release
	cd scripts/release && GOWORK=off go run . build --out $(CURDIR)/dist/release --version $(VERSION) \
	  --epoch $(shell git log -1 --format=%ct) $(if $(PLATFORMS),--platforms $(PLATFORMS)) $(CURDIR)
pin: ## write today's digests of third-party images into the Dockerfile and the Compose files (asks their registries)
	cd scripts/release && GOWORK=off go run . pin $(CURDIR)/Dockerfile $(CURDIR)/docker-compose.yml $(CURDIR)/scripts/compose/cluster.yml
containers: ## kill, restart, scale and replace the containers under load, and count webhooks (needs Docker with Compose; some 10 minutes)
	scripts/containers.sh

##### machine

.PHONY: deps tools clean
deps: ## install what this machine needs besides Go, or print how
	@scripts/deps.sh
tools: $(patsubst %,$(BIN)/%,$(filter-out govulncheck kube-apiserver,$(notdir $(wildcard scripts/tools/*)))) ## build the tools of the other targets into ./bin
clean: ## remove build results, but not the data
	rm -rf bin dist

# Each tool is a module of its own, because their dependencies conflict, and none belongs in ours.
# A tool is rebuilt when its version or the Go version changes.
$(BIN)/%: scripts/tools/%/go.mod scripts/tools/%/go.sum $(wildcard $(shell go env GOROOT)/VERSION)
	GOWORK=off GOBIN=$(BIN) go -C scripts/tools/$* install -trimpath tool
	@touch $@
