package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"whoasked/capture/relay"
	"whoasked/config"
	"whoasked/service"
)

const relayHelp = `relay accepts connections, forwards every byte unchanged, and tells which
endpoint behind it asks for a client certificate. It opens nothing: what passes
is judged from outside, as in a capture. Only for servers that --inspect names it
ends TLS itself, on purpose, with certificates of an authority of yours.

Each --listen takes clients in. --to says where they go: all to one place, to the
name in their ClientHello (sni), where they ask to go (connect for an HTTP
proxy, socks5), or where they were going before the packet filter of this machine
led them here (redirect, tproxy; see whoasked relay rules). Give --to once for all, or as often as --listen, in its order.

Clients come from this machine unless --listen names another address, which
needs --allow, who may come, and, unless --to is a fixed place, --targets, where
they may go.

Log lines are written unless --format says otherwise, and as soon as an answer is
decided; text is written when the relay ends. SIGINT and SIGTERM stop
accepting and wait for connections, --drain at most; a second one does not wait.
SIGHUP has hops, filters, --allow and --targets read again, and the output file
opened anew.`

func newRelay(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "relay --listen ADDRESS:PORT --to WHERE",
		Short: "Answer from connections that pass through",
		Long:  relayHelp,
		Example: `  whoasked relay --listen 127.0.0.1:8443 --to www.contoso.test:443
  whoasked relay --listen 127.0.0.1:3128 --to connect
  whoasked relay --listen 198.18.0.5:443 --to sni --allow 198.18.0.0/24 --targets '*.contoso.test:443'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := settings(cmd, t)
			if err != nil {
				return err
			}
			if !loaded.Given("format") {
				loaded.Format = "log"
			}
			collectAt(200)               // with little alive, collecting costs more than it yields
			if loaded.Format == "text" { // which begins with what only the end can tell
				return relayText(cmd.Context(), &loaded.Config, t)
			}
			run := newRun(cmd, loaded, t)
			return run.relay(cmd.Context())
		},
	}
	addSettings(cmd, "relay", "service")
	lasting(cmd)
	cmd.AddCommand(newRules(t))
	return cmd
}

// checkRelay refuses settings that would make an open proxy.
func checkRelay(c *config.Relay) error {
	if len(c.Listen) == 0 {
		return withHint(errors.New("no --listen given"), "for instance: whoasked relay --listen 127.0.0.1:8443 --to www.contoso.test:443")
	}
	if n := len(c.To); n != 1 && n != len(c.Listen) {
		return withHint(fmt.Errorf("%d --listen but %d --to", len(c.Listen), n), "give --to once for all, or one for each --listen")
	}
	if c.Via.At != "" && c.KeepSource {
		return errors.New("--keep-source has no meaning with --via: the proxy connects from its own address")
	}
	if c.Via.At == "" && c.ViaLogin != "" {
		return withHint(errors.New("--via-login without a proxy"), "name it: --via http://HOST:PORT")
	}
	for i, address := range c.Listen {
		if netip.MustParseAddrPort(address).Addr().IsLoopback() {
			continue
		}
		if len(c.Allow) == 0 {
			return withHint(fmt.Errorf("others than this machine could connect to %s", address), "say who may, for instance --allow 198.18.0.0/24")
		}
		if way, _ := config.Way(destinationOf(c, i)); way != "" && len(c.Targets) == 0 {
			return withHint(fmt.Errorf("clients of %s could go anywhere", address), "say where they may go, for instance --targets '*.contoso.test:443'")
		}
	}
	return nil
}

// throughProxies adds the proxies in front and behind to the options.
func throughProxies(c *config.Relay, o *relay.Options) error {
	if len(c.AcceptProxy) > 0 {
		o.Proxies = func(a netip.Addr) bool { return within(c.AcceptProxy, netip.AddrPortFrom(a, 0)) }
	}
	switch c.SendProxy {
	case "v1":
		o.Dial.Header = relay.Header1
	case "v2":
		o.Dial.Header = relay.Header2
	}
	if c.Via.At == "" {
		return nil
	}
	p := &relay.Proxy{SOCKS: c.Via.SOCKS, At: c.Via.At}
	if c.ViaLogin != "" {
		var err error
		if p.User, p.Password, err = config.ReadLogin(c.ViaLogin); err != nil {
			return withHint(fmt.Errorf("no name and password for the proxy: %w", err), "--via-login FILE names a file whose first line is USER:PASSWORD")
		}
	}
	o.Dial.Proxy = p
	return nil
}

// destinationOf is where clients of the i-th socket go.
func destinationOf(c *config.Relay, i int) string { return c.To[min(i, len(c.To)-1)] }

// relayEntries opens the sockets, but for those that were passed.
func relayEntries(ctx context.Context, c *config.Relay) ([]relay.Entry, error) {
	passed, err := service.Sockets()
	if err != nil {
		return nil, err
	}
	var entries []relay.Entry
	for i, address := range c.Listen {
		way, err := relayWay(destinationOf(c, i))
		if err != nil {
			return nil, err
		}
		l := takePassed(&passed, netip.MustParseAddrPort(address))
		wasPassed := l != nil
		if wasPassed {
			err = relay.Adopt(l, way)
		} else {
			l, err = relay.Listen(ctx, address, way)
		}
		if err != nil {
			closeEntries(entries)
			return nil, listenHint(err, address)
		}
		entries = append(entries, relay.Entry{Listener: l, Way: way, Passed: wasPassed})
	}
	if len(passed) > 0 { // clients of it would wait for ever
		closeEntries(entries)
		return nil, withHint(fmt.Errorf("no --listen is for %s, a socket that was passed", passed[0].Addr()), "add it, or take it out of the .socket unit")
	}
	return entries, nil
}

// takePassed takes the socket that listens at an address out of those that were
// passed; nil if none does.
func takePassed(passed *[]*net.TCPListener, at netip.AddrPort) *net.TCPListener {
	for i, l := range *passed {
		tcp, ok := l.Addr().(*net.TCPAddr)
		if ok && tcp.Port == int(at.Port()) && tcp.AddrPort().Addr().Unmap() == at.Addr().Unmap() {
			*passed = slices.Delete(*passed, i, i+1)
			return l
		}
	}
	return nil
}

// listenHint says what may help where a socket cannot be opened.
func listenHint(err error, address string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return withHint(err, "another program listens there; take another port, or find it: %s", "ss -ltnp sport = :"+portOf(address))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return withHint(err, "give an address of this machine: ip -brief address")
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return withHint(err, "ports below 1024 and tproxy take a privilege: sudo, or CAP_NET_BIND_SERVICE and CAP_NET_ADMIN")
	}
	return err
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func closeEntries(entries []relay.Entry) {
	for i := range entries {
		_ = entries[i].Listener.Close()
	}
}

func relayWay(to string) (relay.Way, error) {
	switch way, port := config.Way(to); way {
	case "sni":
		return relay.SNI(port), nil
	case "connect":
		return relay.Connect(), nil
	case "socks5":
		return relay.SOCKS5(), nil
	case "redirect":
		return relay.Redirected(), nil
	case "tproxy":
		return relay.Transparent(), nil
	}
	return relay.Fixed(to)
}

func relayOptions(c *config.Relay, entries []relay.Entry) relay.Options {
	o := relay.Options{
		Entries: entries,
		Dial:    relay.Dial{Timeout: c.Timeout, KeepSource: c.KeepSource},
		Limits: relay.Limits{
			Connections: c.MaxConnections, PerClient: c.MaxPerClient, Rate: c.MaxRate,
			Handshake: c.Handshake, Idle: c.Idle, Drain: c.Drain, Tap: int(c.TapBytes),
		},
	}
	o.Clients, o.Dial.Targets = relayAccess(c)
	if c.Resolver != "" {
		o.Dial.Resolver = relay.DNS(c.Resolver)
	}
	return o
}

// relayAccess is who may come, nil for everybody, and where to go.
func relayAccess(c *config.Relay) (clients func(netip.Addr) bool, targets []relay.Rule) {
	if len(c.Allow) > 0 {
		clients = func(a netip.Addr) bool { return within(c.Allow, netip.AddrPortFrom(a, 0)) }
	}
	for _, t := range c.Targets {
		rule := relay.Rule{Name: t.Name, Port: t.Port}
		if t.Name == "" {
			rule = relay.Rule{Prefix: t.Range.Prefix, Port: t.Range.Port}
		}
		targets = append(targets, rule)
	}
	return clients, targets
}
