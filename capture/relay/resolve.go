package relay

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/miekg/dns"
)

// Resolver finds the addresses of a name.
type Resolver func(ctx context.Context, host string) ([]netip.Addr, error)

// System asks as all programs of this machine do, hosts file included.
func System() Resolver {
	return func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
}

// DNS asks one server and nothing else: where a hosts file or a local server
// sends clients to this relay, it must not be sent there too.
func DNS(server string) Resolver {
	return func(ctx context.Context, host string) ([]netip.Addr, error) {
		var found [2][]netip.Addr
		var errs [2]error
		second := make(chan struct{})
		go func() {
			defer close(second)
			found[1], errs[1] = ask(ctx, server, host, dns.TypeA)
		}()
		found[0], errs[0] = ask(ctx, server, host, dns.TypeAAAA)
		<-second
		all := append(found[0], found[1]...)
		switch {
		case len(all) > 0:
			return all, nil
		case errs[0] != nil:
			return nil, errs[0]
		case errs[1] != nil:
			return nil, errs[1]
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, Server: server, IsNotFound: true}
	}
}

// ask sends one question, by TCP if the answer does not fit a datagram.
func ask(ctx context.Context, server, host string, kind uint16) ([]netip.Addr, error) {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(host), kind)
	question.SetEdns0(1232, false)
	reply, _, err := new(dns.Client).ExchangeContext(ctx, question, server)
	if err == nil && reply.Truncated {
		reply, _, err = (&dns.Client{Net: "tcp"}).ExchangeContext(ctx, question, server)
	}
	if err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: host, Server: server, IsTimeout: ctx.Err() != nil}
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return nil, &net.DNSError{Err: fmt.Sprintf("the server answered %s", dns.RcodeToString[reply.Rcode]), Name: host, Server: server}
	}
	var out []netip.Addr
	for _, rr := range reply.Answer { // a CNAME's target comes along with it
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		}
		if a, ok := netip.AddrFromSlice(ip); ok {
			out = append(out, a.Unmap())
		}
	}
	return out, nil
}
