package parse

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"slices"
	"sync"
	"testing"

	utls "github.com/refraction-networking/utls"
)

// rsaExchange is a connection whose key exchange is RSA, with what a client
// may have logged of it.
type rsaExchange struct {
	chunks    []Chunk
	clear     *Handshake
	encrypted []byte // the pre_master_secret as it was sent
	premaster []byte
	master    []byte
}

func (x *rsaExchange) byRSA() []byte {
	return fmt.Appendf(nil, "RSA %x %x\n", x.encrypted[:8], x.premaster)
}

func (x *rsaExchange) byRandom() []byte {
	return fmt.Appendf(nil, "PMS_CLIENT_RANDOM %x %x\n", x.clear.ClientHello.Random, x.premaster)
}

// rsaKey takes a while to be made.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// rsaIdentity makes a certificate with an RSA key.
func rsaIdentity(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"www.contoso.test"}, NotBefore: testStart, NotAfter: testStart.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// exchangeRSA runs a handshake and decrypts its pre_master_secret with the
// server's key.
func exchangeRSA(t testing.TB, client, server *tls.Config) *rsaExchange {
	t.Helper()
	chunks, log := logged(t, client, server)
	return readExchange(t, chunks, log, server)
}

// readExchange decrypts the pre_master_secret of a connection.
func readExchange(t testing.TB, chunks []Chunk, log []byte, server *tls.Config) *rsaExchange {
	t.Helper()
	x := &rsaExchange{chunks: chunks}
	x.clear, _ = feed(NewParser(Options{}), x.chunks)
	key := server.Certificates[0].PrivateKey.(*rsa.PrivateKey)
	var sent []byte // the client's bytes
	for _, ch := range x.chunks {
		if ch.From == Opener {
			sent = append(sent, ch.Data...)
		}
	}
	head := []byte{byte(TypeClientKeyExchange), 0, byte((key.Size() + 2) >> 8), byte(key.Size() + 2), byte(key.Size() >> 8), byte(key.Size())}
	at := bytes.Index(sent, head)
	if at < 0 {
		return x // resumed
	}
	x.encrypted = sent[at+len(head):][:key.Size()]
	var err error
	//lint:ignore SA1019 it is what TLS_RSA does
	if x.premaster, err = key.Decrypt(nil, x.encrypted, &rsa.PKCS1v15DecryptOptions{}); err != nil || len(x.premaster) != 48 {
		t.Fatalf("%d bytes of pre_master_secret, %v", len(x.premaster), err)
	}
	x.master = fmt.Append(nil, string(bytes.Fields(log)[2]))
	return x
}

func rsaConfigs(t testing.TB, version, suite uint16) (client, server *tls.Config) {
	client = &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, CipherSuites: []uint16{suite}}
	server = &tls.Config{
		Certificates: []tls.Certificate{rsaIdentity(t)}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS10, CipherSuites: []uint16{suite},
	}
	return client, server
}

var rsaSuites = []struct{ version, suite uint16 }{
	{tls.VersionTLS10, tls.TLS_RSA_WITH_RC4_128_SHA},
	{tls.VersionTLS11, tls.TLS_RSA_WITH_AES_256_CBC_SHA},
	{tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256},
	{tls.VersionTLS12, tls.TLS_RSA_WITH_AES_256_GCM_SHA384},
}

// TestPremasterSecrets: a pre_master_secret opens what its master_secret opens,
// in a handshake with and without a client certificate, and wrong ones beside
// it are no harm.
func TestPremasterSecrets(t *testing.T) {
	for _, tt := range rsaSuites {
		for _, identity := range [][]tls.Certificate{nil, {testIdentity(t, "alice")}} {
			client, server := rsaConfigs(t, tt.version, tt.suite)
			client.Certificates = identity
			x := exchangeRSA(t, client, server)
			wrong := slices.Clone(x.premaster)
			wrong[20] ^= 1
			for name, log := range map[string][]byte{
				"RSA": x.byRSA(), "PMS_CLIENT_RANDOM": x.byRandom(),
				"behind wrong ones": slices.Concat((&rsaExchange{encrypted: x.encrypted, premaster: wrong}).byRSA(),
					(&rsaExchange{clear: x.clear, premaster: wrong}).byRandom(), x.byRSA()),
			} {
				h, events := feed(NewParser(Options{Keys: keysOf(log)}), x.chunks)
				want := []string{"opener 20", "accepter 20", "opener alert 0"}
				if got := unsealed(h); h.Keys != KeysOpened || !slices.Equal(got, want) || h.Sides[0].Unopened+h.Sides[1].Unopened > 0 {
					t.Errorf("%x, %v, %s: state %d, %q", tt.version, CipherSuite(tt.suite), name, h.Keys, got)
				}
				again, same := feed(NewParser(Options{Keys: keysOf(log)}), resplit(x.chunks, func() int { return 3 }))
				if !slices.Equal(unsealed(again), unsealed(h)) || len(same) != len(events) {
					t.Errorf("%x, %s: another split gives %q", tt.version, name, unsealed(again))
				}
			}
			for name, log := range map[string][]byte{
				"of another client":     (&rsaExchange{clear: &Handshake{ClientHello: &ClientHello{Random: [32]byte{1}}}, premaster: x.premaster}).byRandom(),
				"of another encryption": (&rsaExchange{encrypted: wrong, premaster: x.premaster}).byRSA(),
			} {
				if h, _ := feed(NewParser(Options{Keys: keysOf(log)}), x.chunks); h.Keys != KeysNone || h.Unsealing || len(unsealed(h)) > 0 {
					t.Errorf("%s: state %d, unsealing %v, %q", name, h.Keys, h.Unsealing, unsealed(h))
				}
			}
		}
	}
}

// TestPremasterMaster: the master_secret is the one the client logged, and
// without extended_master_secret another one.
func TestPremasterMaster(t *testing.T) {
	client, server := rsaConfigs(t, tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256)
	x := exchangeRSA(t, client, server)
	keys := keysOf(x.byRSA())
	c := NewParser(Options{Keys: keys}).NewConn()
	for _, ch := range x.chunks {
		c.Feed(ch)
	}
	random := c.Handshake().ClientHello.Random
	if got := found(keys, fmt.Sprintf("%x", random), keyMaster); got != string(x.master) {
		t.Errorf("%s, want %s", got, x.master)
	}
	// The other derivation (RFC 5246 §8.1) makes another one.
	h := c.un.next
	h.ems = false
	masters, missing := c.un.masters(h)
	if len(masters) != 1 || missing || fmt.Sprintf("%x", masters[0]) == string(x.master) {
		t.Errorf("%x, %v", masters, missing)
	}
}

// TestPremasterPlain: a client without extended_master_secret derives its
// master_secret of the randoms (RFC 5246 §8.1), and a hole in the handshake is no
// harm as long as they and the key exchange are there.
func TestPremasterPlain(t *testing.T) {
	for _, suite := range []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_GCM_SHA384} {
		_, server := rsaConfigs(t, tls.VersionTLS12, suite)
		chunks, log := plainHandshake(t, suite, server)
		x := readExchange(t, chunks, log, server)
		keys := keysOf(x.byRSA())
		c := NewParser(Options{Keys: keys}).NewConn()
		for _, ch := range chunks {
			c.Feed(ch)
		}
		h := c.Handshake()
		if h.ServerHello == nil || h.ServerHello.extendedMaster {
			t.Fatalf("%+v", h.ServerHello)
		}
		if got := unsealed(h); h.Keys != KeysOpened || !slices.Equal(got, []string{"opener 20", "accepter 20", "opener alert 0"}) {
			t.Errorf("%v: state %d, %q", CipherSuite(suite), h.Keys, got)
		}
		if got := found(keys, fmt.Sprintf("%x", h.ClientHello.Random), keyMaster); got != string(x.master) {
			t.Errorf("%v: %s, want %s", CipherSuite(suite), got, x.master)
		}
		flight := chunks[1] // of the server, which ends with ServerHelloDone
		first, second := flight, flight
		first.Data, second.Data, second.Lost = flight.Data[:200], flight.Data[300:], 100
		h, _ = feed(NewParser(Options{Keys: keysOf(x.byRSA())}), slices.Concat(chunks[:1], []Chunk{first, second}, chunks[2:]))
		if h.Keys != KeysOpened {
			t.Errorf("%v: with a part of the certificate lost: state %d", CipherSuite(suite), h.Keys)
		}
	}
}

// plainHandshake is handshake with a client that does not offer
// extended_master_secret.
func plainHandshake(t *testing.T, suite uint16, server *tls.Config) ([]Chunk, []byte) {
	t.Helper()
	a, b := net.Pipe()
	w := &wire{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := tls.Server(tapConn{b, w, Accepter}, server)
		buf := make([]byte, 1024)
		if n, err := s.Read(buf); err == nil {
			s.Write(buf[:n])
		}
		s.Read(buf)
		b.Close()
	}()
	var log bytes.Buffer
	c := utls.UClient(tapConn{a, w, Opener}, &utls.Config{InsecureSkipVerify: true, KeyLogWriter: &log, ServerName: "www.contoso.test"}, utls.HelloCustom)
	err := c.ApplyPreset(&utls.ClientHelloSpec{
		TLSVersMin: tls.VersionTLS12, TLSVersMax: tls.VersionTLS12, CipherSuites: []uint16{suite}, CompressionMethods: []byte{0},
		Extensions: []utls.TLSExtension{&utls.SNIExtension{}, &utls.SignatureAlgorithmsExtension{
			SupportedSignatureAlgorithms: []utls.SignatureScheme{utls.PKCS1WithSHA256, utls.PSSWithSHA256},
		}},
	})
	if err == nil {
		_, err = c.Write(make([]byte, 100))
	}
	if err == nil {
		_, err = c.Read(make([]byte, 1024))
	}
	c.Close()
	a.Close()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return w.end(), log.Bytes()
}

// TestPremasterResumed: a session is resumed by the secret of the connection
// that made it.
func TestPremasterResumed(t *testing.T) {
	client, server := rsaConfigs(t, tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256)
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	first, second := exchangeRSA(t, client, server), exchangeRSA(t, client, server)
	if second.encrypted != nil {
		t.Fatal("the session was not resumed")
	}
	p := NewParser(Options{Keys: keysOf(first.byRSA())})
	for i, x := range []*rsaExchange{first, second} {
		if h, _ := feed(p, x.chunks); h.Keys != KeysOpened || len(unsealed(h)) != 3 {
			t.Errorf("connection %d: state %d, %q", i+1, h.Keys, unsealed(h))
		}
	}
}

// TestPremasterEveryByteLost: a handshake with a hole opens as far as its
// secret can be used, and else says that it cannot.
func TestPremasterEveryByteLost(t *testing.T) {
	client, server := rsaConfigs(t, tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256)
	client.Certificates = []tls.Certificate{testIdentity(t, "alice")}
	x := exchangeRSA(t, client, server)
	p := NewParser(Options{Keys: keysOf(x.byRSA(), x.byRandom())})
	whole, _ := feed(p, x.chunks)
	said := 0
	for i, ch := range x.chunks {
		for at := 0; at < len(ch.Data); at += 7 {
			for _, n := range []int{1, len(ch.Data) - at} {
				if at+n > len(ch.Data) {
					continue
				}
				first, second := ch, ch
				first.Data, first.Fin, first.End = ch.Data[:at], false, Open
				second.Data, second.Lost = ch.Data[at+n:], n
				p := NewParser(Options{Keys: keysOf(x.byRSA(), x.byRandom())})
				h, _ := feed(p, slices.Concat(x.chunks[:i], []Chunk{first, second}, x.chunks[i+1:]))
				if compareOpened(t, h, whole); t.Failed() {
					t.Fatalf("with %d bytes of chunk %d lost at %d: %q", n, i, at, unsealed(h))
				}
				if h.Keys == KeysFailed {
					said++
				}
			}
		}
	}
	if said == 0 {
		t.Error("no hole is said to be in the way")
	}
}

// TestTranscriptBounded: endless messages fill no more than the bound, and
// give it back.
func TestTranscriptBounded(t *testing.T) {
	p := NewParser(Options{})
	var s transcript
	s.begin(p, true, Opener, make([]byte, 40))
	s.header(p, Accepter, TypeCertificate, make([]byte, 4), false)
	for range 1000 {
		s.body(p, Accepter, TypeCertificate, make([]byte, 1000))
	}
	if n := len(s.piles[Accepter]); n > maxTranscript || !s.broken[Accepter] {
		t.Errorf("%d bytes kept, broken %v", n, s.broken[Accepter])
	}
	if s.release(p); s.piles[Opener] != nil || s.piles[Accepter] != nil {
		t.Error("buffers are kept")
	}
}
