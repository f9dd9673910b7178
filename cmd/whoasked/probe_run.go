package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"

	"whoasked/attribute"
	"whoasked/capture/probe"
	"whoasked/config"
)

// probing is one run of the probe command.
type probing struct {
	line     *line
	terminal *terminal
	prober   *probe.Prober
	matrix   probe.Matrix
	flags    *probeFlags
	resolver *net.Resolver
	hops     attribute.Hops
	against  *against // nil for none
	offers   *offers  // nil for none
	// legs are the fresh connections, for what tells asked from not asked.
	legs    attribute.Legs
	swept   atomic.Int64 // targets that are through
	showBar bool
	untold  int // endpoints and names of which no full handshake told anything
	trouble bool
}

func runProbe(ctx context.Context, c *config.Config, t *terminal, f *probeFlags, args []string) error {
	return runProbing(ctx, c, t, f, args, func(p *probing) func(context.Context, []probe.Target) error {
		if f.every > 0 {
			return p.watch
		}
		return p.run
	})
}

// runProbing sets up what probes need, and has what choose returns do it.
func runProbing(ctx context.Context, c *config.Config, t *terminal, f *probeFlags, args []string,
	choose func(*probing) func(context.Context, []probe.Target) error) error {
	matrix, err := f.matrix()
	if err != nil {
		return err
	}
	prober, err := f.prober()
	if err != nil {
		return err
	}
	targets, err := readTargets(args)
	if err != nil {
		return err
	}
	before, err := f.readAgainst()
	if err != nil {
		return err
	}
	store, err := f.readOffers(t)
	if err != nil {
		return err
	}
	if !f.rowsSet {
		c.Rows = 0 // the table of probes says it shorter
	}
	l, err := openLine(c, nil)
	if err != nil {
		return err
	}
	defer l.discard()
	if err := f.saving(l); err != nil {
		return err
	}
	l.own = true
	l.keys, l.confirm = nil, nil // probes have the keys of their own connections, and nothing to confirm
	p := &probing{
		line:     l,
		terminal: t, prober: prober, matrix: matrix, flags: f, hops: c.Hops, against: before, offers: store,
		resolver: f.newResolver(), showBar: showProgress(c, l.outputs[0]),
	}
	// Connections leave much behind and little lives: what is kept is small enough
	// for collections to be rare, up to a size where they are not.
	if collectAt(400) {
		debug.SetMemoryLimit(probeMemory)
	}
	err = choose(p)(ctx, targets)
	if err == nil {
		err = p.offers.write(p.line.out)
	}
	l.probed.Findings = append(l.probed.Findings, p.legs.Findings()...)
	if err := l.complete(ctx, err, p.compare()); err != nil {
		return err
	}
	return p.status(ctx, c)
}

// status is the exit status of a run that reported.
func (p *probing) status(ctx context.Context, c *config.Config) error {
	switch {
	case ctx.Err() != nil:
		p.terminal.note("interrupted: the answer covers what was probed until then")
		return exitStatus(exitSignal)
	case p.trouble:
		return exitStatus(exitTrouble)
	case c.ExitCode && p.against != nil:
		return p.against.status()
	case c.ExitCode && p.line.tally.asked == 0 && p.untold > 0:
		return exitStatus(exitUnknown)
	case c.ExitCode:
		return verdictStatus(&p.line.tally)
	}
	return nil
}

// maxCompared bounds the connections that findings are made from.
const maxCompared = 1 << 14

// probeMemory is where memory is collected as often as it takes, in bytes.
const probeMemory = 128 << 20

// prober sets up how connections are made.
func (f *probeFlags) prober() (*probe.Prober, error) {
	as, err := probe.ParseHello(f.as)
	if err != nil {
		return nil, fmt.Errorf("--as %w", err)
	}
	p := &probe.Prober{As: as, Timeout: f.timeout, Request: true}
	if f.proxy != "" {
		if p.Dial, err = probe.Proxy(f.proxy); err != nil {
			return nil, fmt.Errorf("--proxy %w", err)
		}
	}
	if p.Header, err = f.proxyHeader(); err != nil {
		return nil, err
	}
	if f.clientKey != "" && f.clientCert == "" {
		return nil, withHint(errors.New("--client-key without --client-cert"), "name the certificate that the key belongs to")
	}
	if f.clientCert != "" {
		cert, err := probe.LoadCertificate(f.clientCert, f.clientKey)
		if err != nil {
			err = fmt.Errorf("--client-cert %w", err)
			if f.clientKey == "" && (strings.Contains(err.Error(), "PRIVATE KEY") || strings.Contains(err.Error(), "certificate rather than a key")) {
				err = withHint(err, "name the file with its private key: --client-key FILE")
			}
			return nil, err
		}
		p.Certificate = cert
	}
	return p, nil
}

func (f *probeFlags) newResolver() *net.Resolver {
	if f.resolver == "" {
		return net.DefaultResolver
	}
	server := f.resolver
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, server)
	}}
}

// run probes all targets and reports.
func (p *probing) run(ctx context.Context, targets []probe.Target) error {
	if p.showBar && len(targets) > 1 {
		defer watch(p.terminal, targetBar(p.swept.Load, len(targets)))()
	}
	return p.sweep(ctx, targets, func(o *outcome) error {
		if o.err == nil {
			return p.report(ctx, o.attempts)
		}
		if ctx.Err() == nil {
			p.trouble = true
			p.terminal.fail(o.err)
		}
		return nil
	})
}

// plan lists what to do for a target.
func (p *probing) plan(ctx context.Context, t probe.Target) ([]probe.Probe, error) {
	m := p.matrix
	addrs, err := p.addresses(ctx, t)
	if err != nil {
		return nil, err
	}
	m.Addrs = addrs
	m.Names = p.flags.names
	if m.Names == nil {
		m.Names = []string{t.Host}
		if _, isAddr := t.Addr(); isAddr {
			m.Names = []string{""}
		}
	}
	plan := m.Plan(t)
	if p.flags.hops {
		for _, ap := range p.hops.Endpoints(t.Port) {
			if ap.Port() == t.Port && slices.Contains(addrs, ap.Addr()) {
				continue // the target's name leads there anyway
			}
			m.Addrs = []netip.Addr{ap.Addr()}
			at := t
			at.Port = ap.Port()
			for _, pr := range m.Plan(at) {
				pr.Target, pr.Aside = t, true
				plan = append(plan, pr)
			}
		}
	}
	return plan, nil
}

// addresses resolves a target.
func (p *probing) addresses(ctx context.Context, t probe.Target) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, s := range p.flags.addresses {
		a, err := netip.ParseAddr(strings.Trim(s, "[]"))
		if err != nil {
			return nil, fmt.Errorf("--address %s is no IP address", s)
		}
		out = append(out, a)
	}
	if len(out) > 0 {
		return out, nil
	}
	if a, ok := t.Addr(); ok {
		return []netip.Addr{a}, nil
	}
	found, err := p.resolver.LookupNetIP(ctx, "ip", t.Host)
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsNotFound {
			return nil, withHint(fmt.Errorf("%s: no such name", t.Host), "name an address with --address, or a name server with --resolver")
		}
		return nil, fmt.Errorf("%s: %w", t.Host, err)
	}
	for _, a := range found {
		out = append(out, a.Unmap())
	}
	return out, nil
}

// report judges the attempts and writes one summary for each run of equal ones.
func (p *probing) report(ctx context.Context, attempts []*probe.Attempt) error {
	ways, told := p.newWays(attempts), make(map[endpoint]bool)
	var sum *attribute.Probed
	var of probe.Probe
	flush := func() error {
		if sum == nil {
			return nil
		}
		s := sum
		sum = nil
		e := endpoint{s.Server, s.SNI}
		if !of.Found || s.Asked > 0 {
			told[e] = told[e] || s.Asked+s.NotAsked > 0
		}
		if p.against != nil {
			p.against.now.Add(s)
		}
		return p.line.out.Probed(s)
	}
	for _, a := range attempts {
		if a == nil || errors.Is(a.Err, context.Canceled) {
			continue
		}
		same := a.Probe
		same.Attempt = 0
		if sum == nil || same != of {
			if err := flush(); err != nil {
				return err
			}
			of, sum = same, p.summary(a)
		}
		c, err := p.take(sum, a)
		if err != nil {
			return err
		}
		ways.add(a, c)
		p.offers.look(c)
		if c != nil && !a.Resume && !a.Later && c.ID <= maxCompared {
			p.legs.Add(c)
		}
	}
	if err := flush(); err != nil {
		return err
	}
	for _, yes := range told {
		if !yes {
			p.untold++
		}
	}
	p.line.take(ways.join(ctx))
	return nil
}

// endpoint is what --exit-code wants an answer of.
type endpoint struct {
	at  netip.AddrPort
	sni string
}

func (p *probing) summary(a *probe.Attempt) *attribute.Probed {
	return &attribute.Probed{
		Server: a.Addr, Hop: p.hops.Name(a.Addr, a.ServerName, nil), Target: a.Target.String(), SNI: a.ServerName,
		Version: tls.VersionName(a.Version), ALPN: a.ALPN, Hello: p.prober.Hello(&a.Probe).String(), Resume: a.Resume, Later: a.Later,
	}
}

// take judges one attempt and adds it to its summary. The connection is nil where
// there is none to look at.
func (p *probing) take(sum *attribute.Probed, a *probe.Attempt) (*attribute.Connection, error) {
	switch {
	case errors.Is(a.Err, errNotTried):
		sum.Skip(failure(a))
		return nil, nil
	case !answered(a):
		sum.Fail(failure(a))
		return nil, nil
	}
	c, err := p.line.judge("probe", a.Handshake, new(attribute.Connection))
	if err != nil || c == nil {
		return nil, err
	}
	sum.Connections = append(sum.Connections, c.ID)
	sum.Add(&attribute.Trial{
		Verdict: c.Verdict, Presented: p.prober.Certificate != nil,
		Status: a.Status, AboutCertificate: a.AboutCertificate,
		Through: a.Err == nil, Failure: failure(a),
	})
	return c, nil
}

// answered reports whether the endpoint took part in a handshake.
func answered(a *probe.Attempt) bool {
	return a.Handshake != nil && a.Handshake.ServerHello != nil
}
