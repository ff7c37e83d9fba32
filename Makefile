# Everything a developer needs; every target works from a fresh checkout.
GO ?= go
LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: build test lint bench fuzz clean

build: ## bin/holdline, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/holdline ./cmd/holdline

test: ## what CI runs: vet, then every test with the race detector
	$(GO) vet ./...
	$(GO) test -race -timeout 15m ./...

lint: ## golangci-lint, the installed one or else the pinned version
	@if command -v golangci-lint >/dev/null; then golangci-lint run ./...; else $(GO) run $(LINT) run ./...; fi

BENCHFLAGS ?= -length 0.5
bench: ## Go benchmarks of the hot paths, and Holdline beside others; see docs/performance.md
	$(GO) test -run '^$$' -bench . -benchtime 0.3s -benchmem ./media ./recorder ./sip
	$(GO) run ./cmd/holdline/bench $(BENCHFLAGS)

FUZZTIME ?= 20s
fuzz: ## every fuzz target for FUZZTIME
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

clean:
	rm -rf bin coverage.out
