# What can be made: make help.

# sudo hides where Go usually is.
GO      ?= $(or $(shell command -v go),/usr/local/go/bin/go)
VERSION ?= $(or $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null),unknown)
LDFLAGS  = -X main.version=$(VERSION)

PREFIX  ?= /usr/local
DESTDIR ?=
bindir  ?= $(PREFIX)/bin
sbindir ?= $(PREFIX)/sbin
datadir ?= $(PREFIX)/share
unitdir ?= $(PREFIX)/lib/systemd/system

BASH_COMPLETION = $(DESTDIR)$(datadir)/bash-completion/completions/vsctl
ZSH_COMPLETION  = $(DESTDIR)$(datadir)/zsh/site-functions/_vsctl
FISH_COMPLETION = $(DESTDIR)$(datadir)/fish/vendor_completions.d/vsctl.fish
MANDIR          = $(DESTDIR)$(datadir)/man/man8
SCHEMAS         = $(DESTDIR)$(datadir)/vswitch
UNIT            = $(DESTDIR)$(unitdir)/vswitchd.service

export GO VERSION

.PHONY: all build test lint unit fuzz faults soak bench demo demo-stop install packages packages-test uninstall clean help
.NOTPARALLEL:

all: build

build: ## build bin/vswitchd and bin/vsctl
	@scripts/install-deps build
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

test: ## install what is missing, then lint, all tests, a little fuzzing (as root)
	@scripts/install-deps test
	@$(MAKE) --no-print-directory lint unit fuzz

lint: ## gofmt, go vet, staticcheck
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) && if [ -n "$$files" ]; then echo "not gofmt-ed: $$files" >&2; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# The daemon as a whole is tested last and alone: its tests measure seconds,
# which other packages' tests would take from it. What happens to frames is asked
# once more of ports that get their receive rings at once, and of a daemon whose
# optional powers are off and which has two workers. Those that run beside others wait
# more than they work: three of them fit two processors. Go does not know that these tests
# depend on the programs, and would remember what they said of older ones: -count=1.
unit: ## go test -race ./...
	$(GO) test -run 'TestDecisionAgainstPlainModel|Allocates?Nothing' ./switch ./impair
	$(GO) test -race -timeout 20m $$($(GO) list ./... | grep -v '/e2e$$')
	$(GO) test -race -count=1 -parallel 3 -timeout 30m ./e2e
	VSWITCHD_FLAGS='--rx-ring-rate 1 --rx-rings 64' $(GO) test -race -count=1 -timeout 10m -run $(FRAMES) ./e2e
	VSWITCHD_FLAGS='--rx-rings 0 --spin 0 --io-uring=false --workers 2' $(GO) test -race -count=1 -timeout 10m -run $(FRAMES) ./e2e

FRAMES = 'TestPortModes|TestLengths|TestReserved'

fuzz: ## each fuzz target for a moment
	@scripts/fuzz

faults: ## every fault of docs/reliability.md twenty times, and longer (hours, as root)
	@scripts/install-deps test
	FAULTS=long $(GO) test -race -count=$(TIMES) -timeout 12h -run $(FAULTS) ./e2e

soak: ## an hour of traffic and changes, each frame judged: make soak SOAK=10m (as root)
	@scripts/install-deps test
	SOAK=$(SOAK) $(GO) test -count=1 -timeout 30h -v -run '^TestSoak$$' ./e2e

SOAK ?= 1h

TIMES ?= 20
FAULTS = 'TestFault|TestTakeover|TestRestart|TestReload|TestHangup|TestDaemonTakesOver|TestAHundredPorts|ComeAndGo|TestDevicesTaken|TestRenamed|TestNameOf|TestAReceiver|TestTxFull|TestRxFull|TestConfigurationI|TestConfigurationThat|TestBadClients|TestLabIsMended|TestLabAfter|TestLabWhose|TestSocketAct|TestLoopProtect|TestStorm|TestContainer|TestFDBUnderAttack'

# How often, and for how long each time: make bench ROUNDS=1 LENGTH=1s
ROUNDS ?= 5
LENGTH ?= 3s

# One stream varies most from round to round, and is measured more often.
TCP_SYSTEMS = 'bridge|veth–veth$$|tap–tap|tso-enable'

bench: build ## measure beside the Linux bridge, Open vSwitch, VDE (up to two hours, as root)
	@scripts/install-deps bench
	$(GO) test ./bench
	$(GO) run ./bench -rounds $(ROUNDS) -length $(LENGTH) -table docs/benchmarks/peers.txt -json docs/benchmarks/peers.json -chart docs/benchmarks/peers.svg
	$(GO) run ./bench -variants -rounds $(ROUNDS) -length $(LENGTH) -table docs/benchmarks/variants.txt -json docs/benchmarks/variants.json
	$(GO) run ./bench -rfc2889 -rounds $(ROUNDS) -length $(LENGTH) -table docs/benchmarks/rfc2889.txt -json docs/benchmarks/rfc2889.json
	$(GO) run ./bench -trials '^tcp$$' -rounds $$((4 * $(ROUNDS))) -length $(LENGTH) -systems $(TCP_SYSTEMS) -table docs/benchmarks/tcp.txt
	$(GO) test -run '^$$' -bench 'Decision|Mesh|Flood|Address|Lookup' -benchmem ./switch ./fdb | tee docs/benchmarks/go.txt

demo: ## build, start the daemon and a small network, and show it (as root)
	@scripts/demo

demo-stop: ## remove all that make demo has made
	@scripts/demo-stop

install: ## install below $(DESTDIR)$(PREFIX): programs, completion, manual, systemd unit
	@[ -x bin/vsctl ] && [ -x bin/vswitchd ] || $(MAKE) build
	install -D -m 755 bin/vsctl '$(DESTDIR)$(bindir)/vsctl'
	install -D -m 755 bin/vswitchd '$(DESTDIR)$(sbindir)/vswitchd'
	install -d '$(dir $(BASH_COMPLETION))' '$(dir $(ZSH_COMPLETION))' '$(dir $(FISH_COMPLETION))' '$(MANDIR)' '$(dir $(UNIT))'
	bin/vsctl completion bash >'$(BASH_COMPLETION)'
	bin/vsctl completion zsh >'$(ZSH_COMPLETION)'
	bin/vsctl completion fish >'$(FISH_COMPLETION)'
	bin/vsctl man '$(MANDIR)'
	bin/vswitchd man '$(MANDIR)'
	install -D -m 644 lab/lab.schema.json '$(SCHEMAS)/lab.schema.json'
	install -D -m 644 config/config.schema.json '$(SCHEMAS)/config.schema.json'
	sed 's|@sbindir@|$(sbindir)|' scripts/vswitchd.service >'$(UNIT)'
	install -D -m 644 scripts/vswitchd.socket '$(dir $(UNIT))vswitchd.socket'

packages: build ## build a deb and an rpm into bin/
	rm -rf bin/root
	@$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/bin/root PREFIX=/usr
	PKG_VERSION='$(PKG_VERSION)' PKG_ARCH=$$($(GO) env GOARCH) $(GO) run $(NFPM) package --config packaging/nfpm.yaml --packager deb --target bin/
	PKG_VERSION='$(PKG_VERSION)' PKG_ARCH=$$($(GO) env GOARCH) $(GO) run $(NFPM) package --config packaging/nfpm.yaml --packager rpm --target bin/

packages-test: packages ## install, upgrade and purge the deb over a running switch (as root, in a file system of its own)
	@scripts/packages-test

NFPM = github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
# A version begins with a digit, and untagged commits have none.
PKG_VERSION ?= $(shell echo '$(VERSION)' | sed 's/^v//; t; s/^/0.0.0+git/')

uninstall: ## remove what make install has installed
	rm -f '$(DESTDIR)$(bindir)/vsctl' '$(DESTDIR)$(sbindir)/vswitchd'
	rm -f '$(BASH_COMPLETION)' '$(ZSH_COMPLETION)' '$(FISH_COMPLETION)' '$(UNIT)' '$(dir $(UNIT))vswitchd.socket'
	rm -f '$(SCHEMAS)/lab.schema.json' '$(SCHEMAS)/config.schema.json'
	rm -f '$(MANDIR)'/vsctl*.8 '$(MANDIR)/vswitchd.8'

clean: ## remove what was built
	rm -rf bin

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' Makefile | expand -t 12
