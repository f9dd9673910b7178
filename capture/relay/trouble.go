package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"whoasked/capture"
)

// Kind says what went wrong. The names are stable.
type Kind uint8

const (
	KindNone        Kind = iota
	KindClient           // the client's address is not allowed
	KindFull             // too many connections
	KindPerClient        // too many connections of one client
	KindRate             // a client opens connections too fast
	KindEntry            // the client did not say, or not in time, where to go
	KindTarget           // it may not go there
	KindDNS              // the name of the target was not resolved
	KindRefused          // the target refused
	KindUnreachable      // there is no way to the target
	KindTimeout          // the target did not answer in time
	KindDial             // connecting failed otherwise
	KindProxy            // the upstream proxy refused
	KindVanished         // an end of a relayed connection is not there any more
	KindAccept           // accepting failed
	KindServerTLS        // TLS to a server that is inspected failed
	KindClientTLS        // TLS to its client failed
	KindPinned           // because the client does not take the certificate
	KindPassed           // an inspected server asked, and is left alone from now on
	KindOffered          // a client was asked in the place of a server
	numKinds
)

var kinds = [numKinds]struct{ name, text, hint string }{
	KindClient:      {"relay-client-refused", "a client that --allow does not name was refused", "name it with --allow"},
	KindFull:        {"relay-full", "a client was refused: too many connections", "raise --max-connections, and the limit on open files"},
	KindPerClient:   {"relay-client-full", "a client was refused: it has too many connections", "raise --max-per-client"},
	KindRate:        {"relay-rate", "a client was refused: it opens connections too fast", "raise --max-rate"},
	KindEntry:       {"relay-no-target", "a client did not say where it wants to go", ""},
	KindTarget:      {"relay-target-refused", "a client wanted to go where it may not", "allow it with --targets"},
	KindDNS:         {"relay-dns", "a name could not be resolved", ""},
	KindRefused:     {"relay-upstream-refused", "an upstream refused the connection", ""},
	KindUnreachable: {"relay-upstream-unreachable", "an upstream cannot be reached", ""},
	KindTimeout:     {"relay-upstream-timeout", "an upstream did not answer in time", ""},
	KindDial:        {"relay-upstream-failed", "connecting to an upstream failed", ""},
	KindProxy:       {"relay-proxy-refused", "an upstream proxy did not connect", "if it wants a name and password: --via-login"},
	KindVanished:    {"relay-vanished", "an end of a connection vanished", ""},
	KindAccept:      {"relay-accept", "clients could not be accepted", "raise the limit on open files"},
	KindServerTLS:   {"relay-inspect-server", "TLS to a server failed", "--upstream-ca names who vouches for servers beside those the system trusts"},
	KindClientTLS:   {"relay-inspect-client", "TLS to a client failed", ""},
	KindPinned:      {"relay-inspect-distrusted", "a client does not trust the certificate of the relay", "have it trust the authority; whoasked ca init tells how. A program that has its server's certificate pinned cannot be inspected"},
	KindPassed:      {"relay-inspect-passed", "a server asked for a client certificate, and is passed through from now on", ""},
	KindOffered:     {"relay-inspect-offered", "a client was asked for a certificate in the place of its server", "the server was answered without one: what a client signs is good for one connection only"},
}

func (k Kind) String() string { return kinds[k].name }

// Trouble is a connection that was not relayed, or not to its end, or something
// else to tell of one.
type Trouble struct {
	Kind   Kind
	Time   time.Time
	Client netip.AddrPort // zero if it is not about one client
	Target string         // empty if not known
	Err    error          // may be nil
}

func (t *Trouble) Error() string {
	var b strings.Builder
	b.WriteString(kinds[t.Kind].text)
	if t.Client.IsValid() {
		fmt.Fprintf(&b, "; client %s", t.Client)
	}
	if t.Target != "" {
		fmt.Fprintf(&b, "; target %s", t.Target)
	}
	if t.Err != nil {
		fmt.Fprintf(&b, ": %v", t.Err)
	}
	return b.String()
}

func (t *Trouble) Unwrap() error { return t.Err }

// Note makes a line of a report of it.
func (t *Trouble) Note() capture.Note {
	return capture.Note{Kind: t.Kind.String(), Count: 1, Text: t.Error(), Hint: kinds[t.Kind].hint}
}

// dialKind sorts an error of connecting.
func dialKind(err error) Kind {
	var refusal *refusal
	var proxy *proxyRefusal
	var dns *net.DNSError
	switch {
	case errors.As(err, &refusal):
		return KindTarget
	case errors.As(err, &proxy):
		return KindProxy
	case errors.As(err, &dns):
		return KindDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return KindRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return KindUnreachable
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return KindTimeout
	}
	return KindDial
}

// Pace of troubles of one kind that are told one by one.
const (
	paceBurst  = 20
	paceSecond = 10
)

// pace lets a burst through and then so many a second.
type pace struct {
	mu     sync.Mutex
	bucket bucket
}

func (p *pace) allow(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bucket.take(now, paceBurst, paceSecond)
}

// bucket is a token bucket; its zero value is full.
type bucket struct {
	used float64
	at   time.Time
}

func (b *bucket) take(now time.Time, burst, perSecond float64) bool {
	b.used = max(0, b.used-now.Sub(b.at).Seconds()*perSecond)
	b.at = now
	if b.used+1 > burst {
		return false
	}
	b.used++
	return true
}

// Notes tells what was counted so far.
func (r *Relay) Notes() []capture.Note {
	var out []capture.Note
	for k := range kinds {
		if n := r.counts.trouble[k].Load(); n > 0 {
			out = append(out, capture.Note{Kind: "relay-total", Count: n, Text: fmt.Sprintf("%s (%d in all)", kinds[k].text, n), Hint: kinds[k].hint})
		}
	}
	add := func(n int64, kind, one, several, text, hint string) {
		if n > 0 {
			out = append(out, capture.Note{Kind: kind, Count: n, Text: capture.Plural(n, one, several) + " " + text, Hint: hint})
		}
	}
	add(r.counts.inspected.Load(), "relay-inspected", "connection was", "connections were", "inspected: TLS was ended here", "")
	add(r.counts.passed.Load(), "relay-inspect-left", "connection to a server that is inspected was", "connections to servers that are inspected were", "passed through", "")
	add(r.counts.idle.Load(), "relay-idle", "connection was", "connections were", "ended because nothing passed for too long", "raise --idle")
	add(r.counts.aborted.Load(), "relay-aborted", "connection was", "connections were", "ended because the relay stopped", "")
	r.tap.mu.Lock()
	defer r.tap.mu.Unlock()
	add(r.tap.lost, "relay-unobserved", "byte was", "bytes were", "relayed without being looked at: answers may be missing", "give it more memory with --tap-bytes")
	return out
}
