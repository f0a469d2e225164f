# Every command of the repository. `make` lists them; none takes more than a line to explain.
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
# Where goroutines meet: what `make race` runs under the race detector, but for the simulation, whose world is meant for one
# processor and has no locks.
CONCURRENT := ./services/delivery-worker/... ./pkg/broker/... ./services/internal/bus/... ./services/internal/egress/... ./services/internal/daemon/...

# What `make faults` tests, and where its chance begins. Most of it is waiting, so that six scenarios at once do with two CPUs.
FAULTS := -tags faults -count 1 -v -parallel 6 ./services/whisperer/e2e/faults
SEED   ?= 1

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##### try it

.PHONY: run up down
run: ## everything in one process on this machine, data in ./.whisperer
	@scripts/deps.sh run
	go build -o $(BIN)/whisperer ./services/whisperer/cmd/whisperer
	@exec $(BIN)/whisperer standalone --data $(DATA)
up: ## the services in containers, as in production (Docker with compose); secrets in .env
	@VERSION=$(VERSION) scripts/compose/up.sh
down: ## stop the containers; their data stays (removed, too: docker compose down -v)
	docker compose --profile cli --profile observability down

##### change it

.PHONY: test race sim fuzz faults versions chart chart-cluster pins bench bench-history bench-console bench-go animation screenshots lint fmt generate verify breaking vuln tidy
test: deps ## all tests of all modules
	$(GOTEST) -timeout 40m work
race: deps ## tests of the concurrent packages under the race detector
	$(GOTEST) -timeout 40m -race $$(go list $(CONCURRENT) | grep -v /simulation)
# Two processes, as a history runs on one processor.
SIM := $(GOTEST) ./services/delivery-worker/internal/simulation -run '^TestHistories$$' -count 1 -timeout 60m
sim: ## HISTORIES=10000 simulated histories of workers, on two processors (SEED=1 for one, printed)
ifeq ($(origin SEED),command line)
	$(SIM) -v -args -seed $(SEED)
else
	$(SIM) -args -histories $$(($(or $(HISTORIES),10000) / 2)) -first 1 -step 2 & other=$$!; \
	$(SIM) -args -histories $$(($(or $(HISTORIES),10000) / 2)) -first 2 -step 2 && wait $$other
endif
fuzz: ## every Fuzz function of the workspace, each for FUZZTIME=30s (FUZZ=Decode for some)
	scripts/fuzz.sh $(or $(FUZZTIME),30s) '$(FUZZ)'
faults: deps ## kill, cut off and confuse the real programs under load, some 10 minutes (SEED=1 RUN=F05 for part of it)
	$(GOTEST) $(FAULTS) -timeout 30m $(if $(RUN),-run '$(RUN)',-skip '^TestLong') -args -seed $(SEED) $(FAULT_ARGS)
faults-full: deps ## the same with long outages, full disks, power cuts, an hour's soak, a million strange requests to the API: hours, as root
	$(GOTEST) $(FAULTS) -timeout 3h -args -full -soak 1h -rate 300 -seed 1 $(FAULT_ARGS)
	for seed in 2 3; do $(GOTEST) $(FAULTS) -timeout 3h -args -full -seed $$seed $(FAULT_ARGS) || exit 1; done
	$(GOTEST) ./services/subscription-api/fuzz -count 1 -v -timeout 3h -args -requests 1000000 -seed $(SEED)
versions: deps ## the tests that depend on the versions of PostgreSQL and NATS, on those that WHISPERER_TEST_* names
	$(GOTEST) -count 1 ./services/internal/bus/... ./services/internal/store/... ./services/delivery-worker/... ./services/whisperer/e2e
# Not from the cache, which does not look at files outside of the module.
chart: $(BIN)/kube-score $(BIN)/helm-docs ## what the Helm chart, the dashboard and the alerts say is valid and true
	cd scripts/kubernetes/tests && GOWORK=off $(GOTEST) -count=1 ./...
chart-cluster: $(BIN)/kube-apiserver ## a real API server takes the chart, under PodSecurity restricted (building that server takes minutes)
	cd scripts/kubernetes/tests && GOWORK=off $(GOTEST) -tags cluster -run Cluster -count=1 ./...
pins: ## make pin finds the images and writes their digests, against a registry of its own
	cd scripts/release && GOWORK=off $(GOTEST) -count=1 -run Pin .
bench: deps ## deliveries per second of the whole system on this machine
	go run ./services/bench/cmd/bench
# Both fill a database first, unless KEEP names the folder of one that was filled before: 10,000,000 attempts are 12 GB.
HISTORY := history --attempts $(or $(ATTEMPTS),200000) $(if $(KEEP),--keep $(KEEP))
bench-history: deps ## how long looking up what happened takes, in a database with much of it (ATTEMPTS=10000000 KEEP=folder)
	go run ./services/bench/cmd/bench $(HISTORY) --only look-ups
bench-console: deps ## how long the console's pages take, with 10,000 hooks and that database (ATTEMPTS=10000000 KEEP=folder)
	go run ./services/bench/cmd/bench $(HISTORY) --only pages
bench-go: ## Go benchmarks of the hot paths
	go test -run '^$$' -bench . -benchmem ./pkg/... ./services/internal/... ./services/delivery-worker/...
animation: ## what `make run` prints, as a picture for README.md (Node.js, util-linux)
	go build -o $(BIN)/whisperer ./services/whisperer/cmd/whisperer
	node scripts/docs/terminal.js
screenshots: deps ## pictures of all pages of the console at three widths, light and dark, in ./screenshots
	rm -rf screenshots && go test ./services/subscription-api/internal/console -run "TestEvery(Page|State)IsAccessible" -count 1 -timeout 60m -screenshots $(CURDIR)/screenshots
lint: $(BIN)/golangci-lint $(BIN)/actionlint ## all linters over all modules, and over the workflows
	$(BIN)/golangci-lint run $(MODULES:%=%/...)
	$(BIN)/actionlint .github/workflows/*.yml
fmt: $(BIN)/gofumpt $(BIN)/buf ## format Go and protobuf
	$(BIN)/gofumpt -w $(MODULES)
	$(BIN)/buf format -w proto
generate: $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/helm-docs ## write the generated Go, and the manual of the chart's values
	cd proto && PATH="$(BIN):$$PATH" $(BIN)/buf generate
	cd scripts/kubernetes/whisperer && $(BIN)/helm-docs --log-level=error
verify: $(BIN)/gofumpt $(BIN)/buf $(BIN)/protoc-gen-go ## what a machine wrote is what a machine would write: format, generated code, go.mod
	scripts/verify.sh
breaking: $(BIN)/buf ## protobuf changes that would break what is stored (AGAINST=origin/main)
	$(BIN)/buf breaking proto --against '.git#ref=$(or $(AGAINST),origin/main),subdir=proto'
vuln: $(BIN)/govulncheck ## known vulnerabilities in what we call (needs the network)
	for m in $(MODULES); do $(BIN)/govulncheck -C $$m ./...; done
tidy: ## go mod tidy in every module
	scripts/tidy.sh

##### ship it

.PHONY: build docs release pin containers
build: ## static binaries in ./dist, and the man page
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o dist/ $(BINARIES)
	go run ./services/whisperer/cmd/whisperer manual man > dist/whisperer.1
docs: ## the documentation as a site with search, in ./dist/docs (Node.js; a link that leads nowhere fails it)
	cd scripts/docs && npm ci --no-audit --no-fund --silent && npm run --silent build
release: ## archives for every system with checksums and bills of materials, in ./dist/release: the same bytes everywhere
	cd scripts/release && GOWORK=off go run . build --out $(CURDIR)/dist/release --version $(VERSION) \
	  --epoch $(shell git log -1 --format=%ct) $(if $(PLATFORMS),--platforms $(PLATFORMS)) $(CURDIR)
pin: ## write today's digests of the base images into what builds and starts containers (asks their registries)
	cd scripts/release && GOWORK=off go run . pin $(CURDIR)/Dockerfile $(CURDIR)/docker-compose.yml $(CURDIR)/scripts/compose/cluster.yml
containers: ## kill, restart, scale and replace the containers while events flow, and count (Docker with compose; some 10 minutes)
	scripts/containers.sh

##### machine

.PHONY: deps tools clean
deps: ## what the machine needs besides Go: installs or names it
	@scripts/deps.sh
tools: $(patsubst %,$(BIN)/%,$(filter-out govulncheck kube-apiserver,$(notdir $(wildcard scripts/tools/*)))) ## build the tools that the other targets use into ./bin
clean: ## remove what was built (not the data)
	rm -rf bin dist

# A tool is a module of its own: their dependencies contradict each other, and none belongs in ours.
# It is built again when its version changes, or the Go that built it.
$(BIN)/%: scripts/tools/%/go.mod scripts/tools/%/go.sum $(wildcard $(shell go env GOROOT)/VERSION)
	GOWORK=off GOBIN=$(BIN) go -C scripts/tools/$* install -trimpath tool
	@touch $@
