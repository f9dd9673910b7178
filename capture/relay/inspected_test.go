package relay

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/capture/relay/inspect"
)

// TestInspected runs servers that ask, may be refused, or do not, behind each way
// in, with every answer.
func TestInspected(t *testing.T) {
	n := newInspection(t)
	count := 0
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, auth := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert, tls.RequireAndVerifyClientCert} {
			for _, choice := range []inspect.Choice{inspect.AnswerNone, inspect.AnswerCertificate, inspect.Mirror, inspect.Pass} {
				for _, way := range []string{"fixed", "connect", "socks5", "sni"} {
					protocol := [...]string{"h2", "http/1.1", "", "h2"}[choice]
					t.Run(fmt.Sprintf("%s/%v/choice=%d/%s", tls.VersionName(version), auth, choice, way), func(t *testing.T) {
						testInspected(t, n, way, version, auth, choice, protocol)
					})
					count++
				}
			}
		}
	}
	t.Logf("%d scenarios", count)
}

func testInspected(t *testing.T, n *inspection, way string, version uint16, auth tls.ClientAuthType, choice inspect.Choice, protocol string) {
	to, seen := echoTLS(t, &tls.Config{
		Certificates: []tls.Certificate{n.server}, ClientAuth: auth, ClientCAs: n.users.pool(), NextProtos: []string{"h2", "http/1.1"},
	})
	in := n.options(t, func(o *inspect.Options) { o.OnRequest, o.Certificate = choice, &n.user })
	w := wayIn{func(string) Way { return SNI(to.Port()) }, plainly, nil}
	if way != "sni" {
		w = ways(t)[way]
	}
	r := judge(t, w.way(to.String()), Options{Dial: Dial{Resolver: toServer(to)}, Inspect: in})
	raw, err := w.connect(r.addr, to.String())
	if err != nil {
		t.Fatal(err)
	}
	client := n.client(version)
	if protocol != "" {
		client.NextProtos = []string{protocol}
	}
	var wanted *tls.CertificateRequestInfo
	client.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		wanted = request
		return &n.user, nil
	}
	asks := auth != tls.NoClientCert
	// A server that requires a certificate is passed through if it is answered
	// without; with TLS 1.2 it refuses in the handshake, before the client is told
	// anything.
	refuses := auth == tls.RequireAndVerifyClientCert && (choice == inspect.AnswerNone || choice == inspect.Mirror)
	passes := asks && choice == inspect.Pass || refuses && choice == inspect.AnswerNone && version == tls.VersionTLS12
	if passes {
		client.RootCAs = n.servers.pool()
	}
	state, err := talk(raw, client)

	v := r.verdict(t)
	want, basis := attribute.No, attribute.Unsealed
	if asks {
		want = attribute.Yes
	}
	if version == tls.VersionTLS12 {
		basis = attribute.Seen
	}
	if v.Asked != want || v.Basis != basis || asks && v.By != to {
		t.Errorf("asked %v by %v, basis %v; want %v by %v, %v: %s", v.Asked, v.By, v.Basis, want, to, basis, v.Reason)
	}
	refused := refuses && !passes
	if (err != nil) != refused {
		t.Fatalf("talking: %v", err)
	}
	if (wanted != nil) != (asks && choice == inspect.Mirror || passes) {
		t.Errorf("the client was asked: %+v", wanted)
	}
	if wanted != nil && (len(wanted.AcceptableCAs) != 1 || !bytes.Equal(wanted.AcceptableCAs[0], n.users.cert.RawSubject)) {
		t.Errorf("it was asked for %q", wanted.AcceptableCAs)
	}
	if asks && choice == inspect.Mirror {
		if tr := r.trouble(t, KindOffered); !strings.Contains(tr.Error(), `"CN=alice", issued by "CN=Users"`) {
			t.Errorf("offered: %v", tr)
		}
	}
	server := seen.after(t, map[bool]int{false: 1, true: 2}[passes])
	if got := len(server.PeerCertificates) > 0; got != (asks && choice == inspect.AnswerCertificate || passes) {
		t.Errorf("the server got a certificate: %v", got)
	}
	if refused {
		r.trouble(t, KindServerTLS)
		return
	}
	if server.Version != version || server.NegotiatedProtocol != protocol || server.ServerName != "www.contoso.test" {
		t.Errorf("the server has %s, %q, %q", tls.VersionName(server.Version), server.NegotiatedProtocol, server.ServerName)
	}
	if state.Version != version || state.NegotiatedProtocol != protocol {
		t.Errorf("the client has %s, %q", tls.VersionName(state.Version), state.NegotiatedProtocol)
	}
	if got := issuer(state) == "Servers"; got != passes {
		t.Errorf("the client has a certificate of %s", issuer(state))
	}
	if passes { // from now on, without another try
		r.trouble(t, map[bool]Kind{false: KindPassed, true: KindServerTLS}[refuses])
		raw, err := w.connect(r.addr, to.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := talk(raw, client); err != nil {
			t.Error(err)
		}
		seen.after(t, 3)
	}
}

// TestNotInspected: what is not TLS to one of the domains passes untouched.
func TestNotInspected(t *testing.T) {
	n := newInspection(t)
	other := n.servers.issue(t, "www.fabrikam.test", time.Unix(1<<32, 0))
	to, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{other}})
	r := judge(t, fixedTo(t, to), Options{Inspect: n.options(t, nil)})
	for name, config := range map[string]*tls.Config{
		"another name":             {ServerName: "www.fabrikam.test", RootCAs: n.servers.pool()},
		"no name":                  {InsecureSkipVerify: true},
		"a name that ends like it": {ServerName: "notcontoso.test", InsecureSkipVerify: true},
	} {
		state, err := talk(dialTCP(t, r.addr), config)
		if err != nil || issuer(state) != "Servers" {
			t.Errorf("%s: %v, %+v", name, err, state)
		}
		r.verdict(t)
	}
	plain := serve(t, func(c *net.TCPConn) { _, _ = c.Write([]byte("220 hello\r\n")); _, _ = io.Copy(c, c); c.Close() })
	r = judge(t, fixedTo(t, plain), Options{Inspect: n.options(t, nil)})
	c := dialTCP(t, r.addr)
	if b := make([]byte, 5); !readAll(c, b) || string(b) != "220 h" { // behind the time that a client has to begin
		t.Errorf("from a server that speaks first: %q", b)
	}
	c = dialTCP(t, r.addr)
	_, _ = c.Write([]byte("EHLO"))
	if b := make([]byte, 15); !readAll(c, b) || string(b) != "220 hello\r\nEHLO" {
		t.Errorf("what is not TLS: %q", b)
	}
	c = dialTCP(t, r.addr)
	_, _ = c.Write([]byte("\x16\x03\x01\x00\x05hello"))
	_ = c.CloseWrite()
	if b, err := io.ReadAll(c); err != nil || string(b) != "220 hello\r\n\x16\x03\x01\x00\x05hello" {
		t.Errorf("what only begins like TLS: %q, %v", b, err)
	}
}

func readAll(c net.Conn, b []byte) bool {
	_, err := io.ReadFull(c, b)
	return err == nil
}
