package probe

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Target is what a person names to be probed.
type Target struct {
	Host string // name or address
	Port uint16
	Path string // of a URL, with its query; "/" if none was given
	// Preamble is what to say before TLS, as parse names it, the outermost first
	// and joined by "+"; empty for nothing. Behind is the host:port that a proxy
	// in it is asked to connect to, empty for where the connection goes.
	Preamble, Behind string
	// Mute: what follows TLS is no HTTP, and nothing is said in it.
	Mute bool
}

// HTTP reports whether the target is taken to speak HTTP behind TLS.
func (t Target) HTTP() bool { return t.Preamble == "" && !t.Mute }

// Addr returns the address that Host is, if it is one.
func (t Target) Addr() (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.Trim(t.Host, "[]"))
	return a, err == nil
}

func (t Target) String() string {
	return net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
}

// schemes are the URL schemes known: their port and what precedes TLS.
var schemes = map[string]struct {
	port     uint16
	preamble string
}{
	"https": {443, ""}, "wss": {443, ""},
	"smtp": {25, "smtp"}, "submission": {587, "smtp"}, "lmtp": {24, "lmtp"},
	"imap": {143, "imap"}, "pop3": {110, "pop3"}, "ftp": {21, "ftp"},
	"nntp": {119, "nntp"}, "xmpp": {5222, "xmpp"}, "xmpp-server": {5269, "xmpp-server"},
	"ldap":     {389, "ldap"},
	"postgres": {5432, "postgresql"}, "postgresql": {5432, "postgresql"},
	"mysql": {3306, "mysql"}, "sieve": {4190, "sieve"}, "irc": {6667, "irc"},
	"ipp": {631, "http-upgrade"}, // RFC 8010 §8.2, RFC 2817
	"rdp": {3389, "rdp"}, "sqlserver": {1433, "tds"},
}

// mute are the schemes whose servers expect TLS at once and no HTTP in it (RFC
// 8314 and kin): their port.
var mute = map[string]uint16{
	"tls": 443, "imaps": 993, "pop3s": 995, "smtps": 465, "submissions": 465, "ldaps": 636, "ftps": 990, "nntps": 563,
	"ircs": 6697, "xmpps": 5223, "xmpps-server": 5270, "sips": 5061, "mqtts": 8883, "amqps": 5671, "rediss": 6379,
}

var errNoHost = errors.New("has no host")

// ParseTarget reads "host", "host:port", "address", "[address]:port" or a URL.
func ParseTarget(s string) (Target, error) {
	t, err := parseTarget(strings.TrimSpace(s))
	if err != nil {
		return Target{}, fmt.Errorf("target %q %w", s, err)
	}
	return t, nil
}

func parseTarget(s string) (Target, error) {
	if _, err := netip.ParseAddr(s); err == nil {
		return Target{Host: s, Port: 443, Path: "/"}, nil
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return Target{}, errors.New("is neither a host, host:port nor a URL")
	}
	scheme, ok := schemes[u.Scheme]
	muted := mute[u.Scheme]
	if muted > 0 {
		scheme.port = muted
	}
	if u.Scheme == "http" {
		return Target{}, errors.New("has the scheme http, which is without TLS; is it https?")
	}
	if !ok && muted == 0 {
		return Target{}, fmt.Errorf("has the scheme %s, which is not known", u.Scheme)
	}
	t := Target{Host: u.Hostname(), Port: scheme.port, Preamble: scheme.preamble, Mute: muted > 0, Path: u.RequestURI()}
	if t.Host == "" {
		return Target{}, errNoHost
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return Target{}, fmt.Errorf("has the port %s, which is not one from 1 to 65535", p)
		}
		t.Port = uint16(n)
	}
	return t, nil
}
