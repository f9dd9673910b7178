package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"whoasked/attribute"
)

// Relay says what whoasked relay does.
type Relay struct {
	Listen      []string // ADDRESS:PORT
	To          []string // HOST:PORT or one of Ways; for all of Listen, or for each its own
	Allow       []attribute.Range
	Targets     []Target
	AcceptProxy []attribute.Range // who begins with a PROXY header
	SendProxy   string            // "no", "v1" or "v2"
	Via         Via
	ViaLogin    string // where USER:PASSWORD is, not what
	KeepSource  bool
	Ports       []uint16 // that redirect and tproxy take
	Interface   string   // that they come in by, empty for any
	Resolver    string   // ADDRESS:PORT, empty for the system's
	Timeout     time.Duration
	Handshake   time.Duration
	Idle        time.Duration
	Drain       time.Duration

	Inspect     []string // domains whose TLS is ended here
	CA          string   // folder
	OnRequest   string   // "none", "certificate", "mirror" or "pass"
	OnFailure   string   // "pass" or "fail"
	ClientCert  string   // file, as is the rest
	ClientKey   string
	UpstreamCA  string
	WriteKeylog string

	MaxConnections int
	MaxPerClient   int
	MaxRate        int // connections a second
	TapBytes       Bytes
}

// Ways are the ways to find out where a client of the relay wants to go. "sni"
// may be followed by the port to go to, as in sni:8443.
var Ways = []string{"sni", "connect", "socks5", "redirect", "tproxy"}

// Way splits a destination: the way, empty if it is a fixed place, and the port
// to go to where the way does not tell.
func Way(to string) (way string, port uint16) {
	if host, port, ok := hostPort(to); ok && host == "sni" {
		return host, cmp.Or(port, 443)
	}
	if slices.Contains(Ways, to) {
		return to, 0
	}
	return "", 0
}

// Target is where clients of the relay may go: a range of addresses, or names.
type Target struct {
	Range attribute.Range // valid if Name is empty
	Name  string          // glob, lower case
	Port  uint16          // of Name; 0 for any
}

func (t Target) String() string {
	switch {
	case t.Name == "":
		return t.Range.String()
	case t.Port == 0:
		return t.Name
	}
	return net.JoinHostPort(t.Name, strconv.Itoa(int(t.Port)))
}

func listenAddress(s string) (string, error) {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return "", fmt.Errorf("%q is no place to listen at; want ADDRESS:PORT, such as 127.0.0.1:8443 or [::1]:8443", s)
	}
	return a.String(), nil
}

// metricsAddress is a place to listen at; without an address it is this machine.
var metricsAddress = scalar("PORT or ADDRESS:PORT, such as 9100 or 198.18.0.5:9100", func(s string) (string, bool) {
	if s == "" {
		return "", true
	}
	if n, err := strconv.ParseUint(strings.TrimPrefix(s, ":"), 10, 16); err == nil {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(n)).String(), true
	}
	a, err := netip.ParseAddrPort(s)
	return a.String(), err == nil
})

func destination(s string) (string, error) {
	if way, _ := Way(s); way != "" {
		return s, nil
	}
	if _, port, ok := hostPort(s); !ok || port == 0 {
		return "", fmt.Errorf("%q is no place to go to; want HOST:PORT, such as www.contoso.test:443, or one of %s", s, strings.Join(Ways, ", "))
	}
	return s, nil
}

// hostPort splits HOST[:PORT]; the port is 0 if there is none.
func hostPort(s string) (host string, port uint16, ok bool) {
	host, service, err := net.SplitHostPort(s)
	if err != nil {
		return s, 0, s != "" && !strings.ContainsAny(s, ":[]/ ")
	}
	n, err := strconv.ParseUint(service, 10, 16)
	return host, uint16(n), err == nil && n > 0 && host != ""
}

func targetRule(s string) (Target, error) {
	if r, err := attribute.ParseRange(s); err == nil {
		return Target{Range: r}, nil
	}
	name, port, ok := hostPort(s)
	if ok && strings.ContainsAny(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz*?") {
		if name, err := glob(name); err == nil {
			return Target{Name: name, Port: port}, nil
		}
	}
	return Target{}, fmt.Errorf("%q names no targets; want 198.18.0.0/24:443, [2001:db8::1]:443 or *.contoso.test:443", s)
}

// resolver is scalar's kind of addresses whose port is that of DNS unless said.
var resolver = scalar("an address of a DNS server, such as 198.18.0.53", func(s string) (string, bool) {
	if s == "" {
		return "", true
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53).String(), true
	}
	a, err := netip.ParseAddrPort(s)
	return s, err == nil && a.IsValid()
})

// interfaceName reads the name of a network device.
var interfaceName = scalar("the name of a network device, such as eth0", func(s string) (string, bool) {
	return s, len(s) < 16 && !strings.ContainsAny(s, " \t\r\n\"'\\/;{}$*")
})
