package traffic

import (
	"crypto/tls"
	"net/netip"
)

// Scenario is one kind of TLS connection between a Go client and a Go server.
type Scenario struct {
	Name string
	// Version is the highest the server speaks, and so the one negotiated.
	Version uint16
	RSA     bool // kind of the server's key; ECDSA P-256 otherwise
	Chain   bool // the server sends its issuer's certificate too
	// SmallHello leaves X25519MLKEM768 out, for a ClientHello of some 250 bytes
	// in one segment; otherwise it is as large as a browser's and takes two.
	SmallHello bool
	Auth       tls.ClientAuthType
	// Present: the client has a certificate and sends it if asked.
	Present bool
	// Resumed: the recorded connection resumes an earlier one.
	Resumed bool
	// Weight is this scenario's share among all connections.
	Weight int
}

// scenarios is the mix. Its order fixes the server addresses, so new rows go to
// the end.
func scenarios() []Scenario {
	const v12, v13 = tls.VersionTLS12, tls.VersionTLS13
	return []Scenario{
		{Name: "1.3 not asked", Version: v13, Weight: 6},
		{Name: "1.3 not asked, RSA chain", Version: v13, RSA: true, Chain: true, Weight: 3},
		{Name: "1.3 not asked, small hello", Version: v13, SmallHello: true, Weight: 3},
		{Name: "1.3 optional, no certificate", Version: v13, RSA: true, Auth: tls.RequestClientCert, Weight: 2},
		{Name: "1.3 optional, certificate", Version: v13, Auth: tls.RequestClientCert, Present: true, Weight: 2},
		{Name: "1.3 required, certificate", Version: v13, RSA: true, Auth: tls.RequireAnyClientCert, Present: true, Weight: 2},
		{Name: "1.3 required, refused", Version: v13, SmallHello: true, Auth: tls.RequireAnyClientCert, Weight: 1},
		{Name: "1.3 resumed", Version: v13, Resumed: true, Weight: 5},
		{Name: "1.3 resumed, required before", Version: v13, Auth: tls.RequireAnyClientCert, Present: true, Resumed: true, Weight: 1},
		{Name: "1.2 not asked", Version: v12, Weight: 2},
		{Name: "1.2 not asked, RSA", Version: v12, RSA: true, SmallHello: true, Weight: 3},
		{Name: "1.2 optional, no certificate", Version: v12, RSA: true, Auth: tls.RequestClientCert, Weight: 2},
		{Name: "1.2 optional, certificate", Version: v12, Auth: tls.RequestClientCert, Present: true, SmallHello: true, Weight: 1},
		{Name: "1.2 required, certificate", Version: v12, RSA: true, Auth: tls.RequireAnyClientCert, Present: true, Weight: 2},
		{Name: "1.2 required, refused", Version: v12, Auth: tls.RequireAnyClientCert, SmallHello: true, Weight: 1},
		{Name: "1.2 resumed", Version: v12, RSA: true, SmallHello: true, Resumed: true, Weight: 3},
		{Name: "1.2 resumed, required before", Version: v12, Auth: tls.RequireAnyClientCert, Present: true, Resumed: true, Weight: 1},
	}
}

// asked tells whether the recorded connection carries a CertificateRequest. A
// resumed one cannot (RFC 8446 §4.3.2, RFC 5246 §7.3).
func (s *Scenario) asked() bool { return s.Auth != tls.NoClientCert && !s.Resumed }

// refused tells whether the server ends the handshake with an alert.
func (s *Scenario) refused() bool { return s.Auth == tls.RequireAnyClientCert && !s.Present }

// serverName alternates between two names, as the row has to have one.
func (s *Scenario) serverName() string {
	if s.RSA {
		return "www.contoso.test"
	}
	return "www.fabrikam.test"
}

// serverNet returns the addresses of the n-th scenario's servers.
func serverNet(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(n), 0}), 24)
}

func (s *Scenario) expected(n int) Expected {
	return Expected{
		Name:    s.Name,
		Net:     serverNet(n),
		Version: tls.VersionName(s.Version),
		Asked:   s.asked(),
		Resumed: s.Resumed,
	}
}
